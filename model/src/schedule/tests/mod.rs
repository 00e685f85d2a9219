use super::*;

/// By Python in double precision, of x = 0.5, predicted noise -0.3 and fresh noise 0.7.
#[test]
fn a_step_over_several_timesteps_is_one_of_their_noise() {
    let schedule = NoiseSchedule::new(&ScheduleConfig::default());
    for (steps, with_noise, without) in [
        ((500, 250), 2.622652430, 1.827902883),
        ((20, 0), 0.524300821, 0.524300821),
        ((1000, 999), 0.610132259, 0.508122098),
    ] {
        let mut x = [0.5];
        schedule.denoise(&mut x, &[-0.3], &[0.7], steps);
        assert!((f64::from(x[0]) - with_noise).abs() < 1e-6, "{steps:?}: {x:?}");
        let mut x = [0.5];
        schedule.denoise_without_noise(&mut x, &[-0.3], steps);
        assert!((f64::from(x[0]) - without).abs() < 1e-5, "{steps:?}: {x:?}");
    }
}

#[test]
fn noise_is_bound_where_its_picture_leaves_the_range() {
    let schedule = NoiseSchedule::new(&ScheduleConfig::default());
    for timestep in [1, 300, 1000] {
        let x_t = [0.3, 2.0, -2.0];
        let clean = [0.25, 1.5, -7.0];
        let (image, noise) = schedule.mix(timestep);
        let predicted = |clean: &[f32; 3]| -> Vec<f32> {
            let both = x_t.iter().zip(clean);
            both.map(|(x, clean)| ((f64::from(*x) - image * f64::from(*clean)) / noise) as f32)
                .collect()
        };
        let mut found = predicted(&clean);
        schedule.bound(&x_t, &mut found, timestep);
        for (found, expected) in found.iter().zip(predicted(&[0.25, 1.0, -1.0])) {
            assert!(
                (found - expected).abs() < 1e-3 * expected.abs(),
                "{timestep}: {found} {expected}"
            );
        }
    }
}

#[test]
fn a_respaced_cosine_schedule_has_the_noise_of_every_fourth_step() {
    let of = |timesteps, steps| {
        NoiseSchedule::new(&ScheduleConfig {
            timesteps,
            cosine_steps: Some(steps),
            ..ScheduleConfig::default()
        })
    };
    let (whole, respaced) = (of(4000, 4000), of(1000, 4000));
    assert_eq!((whole.timesteps(), respaced.timesteps()), (4000, 1000));
    for t in [1, 2, 30, 500, 1000] {
        assert_eq!(respaced.alpha_bar(t), whole.alpha_bar(4 * (t - 1) + 1));
    }
    // betas_for_alpha_bar of improved-diffusion, cos((t + 0.008) / 1.008 * pi / 2)^2, by Python in double precision.
    assert!(
        (whole.beta(1) - 9.865_818_813_681_315e-6).abs() < 1e-12,
        "{}",
        whole.beta(1)
    );
    assert!(
        (whole.beta(2000) - 7.883_212_765_981_14e-4).abs() < 1e-12,
        "{}",
        whole.beta(2000)
    );
    assert_eq!(whole.beta(4000), 0.999);
    for t in 1..=1000 {
        let (alpha_bar, before) = (respaced.alpha_bar(t), respaced.alpha_bar(t - 1));
        assert!((before * (1.0 - respaced.beta(t)) - alpha_bar).abs() < 1e-12);
    }
}
