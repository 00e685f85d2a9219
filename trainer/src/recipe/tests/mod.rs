use super::*;

#[test]
fn built_in_recipes_are_valid_and_survive_json() {
    for (name, _) in BUILT_IN {
        let recipe = Recipe::load(name).unwrap();
        assert_eq!(recipe.name, name);
        recipe.validate_for(1000).unwrap();
        let json = serde_json::to_string(&recipe).unwrap();
        assert_eq!(serde_json::from_str::<Recipe>(&json).unwrap(), recipe);
    }
}

#[test]
fn the_papers_numbers() {
    for (name, steps, batch) in [
        ("paper-cub", 50_000, 128),
        ("paper-ffhq", 500_000, 128),
        ("paper-imagenet", 500_000, 512),
    ] {
        let recipe = Recipe::load(name).unwrap();
        assert_eq!((recipe.total_steps(), recipe.batch_size), (steps, batch), "{name}");
        assert_eq!(
            (recipe.ema_rate, recipe.phases[0].learning_rate, recipe.phases.len()),
            (0.9999, 1e-4, 1),
            "{name}"
        );
        assert!(!recipe.ema_warmup && recipe.label_dropout == 0.0, "{name}");
    }
}

#[test]
fn phases_follow_each_other() {
    let mut recipe = Recipe::load("two-phase").unwrap();
    recipe.phases.truncate(2);
    recipe.phases[0].steps = 10;
    recipe.phases[1].steps = 5;
    assert_eq!(
        [0, 9, 10, 14, 20].map(|step| recipe.phase_at(step)),
        [(0, 0), (0, 9), (1, 0), (1, 4), (1, 10)]
    );
    recipe.scale_to(9);
    assert_eq!((recipe.phases[0].steps, recipe.phases[1].steps), (6, 3));
}

#[test]
fn mistakes_name_the_field() {
    let message = |edit: &dyn Fn(&mut Recipe)| {
        let mut recipe = Recipe::load("two-phase").unwrap();
        edit(&mut recipe);
        recipe
            .validate()
            .and_then(|()| recipe.validate_for(1000))
            .unwrap_err()
            .to_string()
    };
    assert!(message(&|r| r.batch_size = 0).contains("batch_size is 0"));
    assert!(message(&|r| r.phases[0].denoiser_factor = 0.0).contains("denoiser_factor"));
    assert!(message(&|r| r.micro_batch = Some(100_000)).contains("micro_batch"));
    assert!(message(&|r| r.phases.clear()).contains("phases"));
    assert!(message(&|r| r.phases[1].timesteps = (1, 2000)).contains("timesteps is (1, 2000)"));
    assert!(message(&|r| r.phases[0].learning_rate = f64::NAN).contains("phases[0]"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.toml");
    std::fs::write(&path, "name = \"mine\"\nbatchsize = 4\n").unwrap();
    let error = Recipe::load(path.to_str().unwrap()).unwrap_err().to_string();
    assert!(error.contains("mine.toml") && error.contains("batchsize"), "{error}");
    assert!(Recipe::load("no-such").unwrap_err().to_string().contains("two-phase"));
}
