use super::*;

#[test]
fn tuning_is_remembered_in_the_users_cache_folder() {
    remember_tuning().unwrap();
    // A second call, and what is set already.
    remember_tuning().unwrap();
    let expected = dirs::cache_dir().unwrap().join("factorseg");
    assert_eq!(CubeClRuntimeConfig::get().autotune.cache.root(), expected);
}

#[test]
fn another_place_is_left_as_it_is() {
    let mut config = CubeClRuntimeConfig::default();
    config.autotune.cache = CacheConfig::File("/tuned".into());
    let kept = remembering(config, Some("/cache".into()));
    assert_eq!(kept.autotune.cache.root(), PathBuf::from("/tuned"));
    let without_home = remembering(CubeClRuntimeConfig::default(), None);
    assert!(matches!(without_home.autotune.cache, CacheConfig::Target));
}
