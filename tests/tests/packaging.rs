//! What `cargo cinstall` writes into the plugin's pkg-config file, held against the built library; and what `scripts/install.sh`
//! installs, used and taken away again. `scripts/package.sh --check` does that with the Debian package.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use factorseg_tests::{built, fail, succeed};
use tempfile::TempDir;

/// Of the C library, the loader and the compiler: every program has them.
const EVERYWHERE: [&str; 7] = ["c", "m", "dl", "rt", "pthread", "gcc_s", "ld-linux-x86-64"];

/// The packages that the plugin's manifest names.
fn requires() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugin/Cargo.toml");
    let manifest: toml::Table = std::fs::read_to_string(path).unwrap().parse().unwrap();
    let capi = &manifest["package"]["metadata"]["capi"];
    assert_eq!(capi["library"]["install_subdir"].as_str(), Some("gstreamer-1.0"));
    let packages = capi["pkg_config"]["requires_private"].as_str().unwrap();
    packages.split(", ").map(str::to_owned).collect()
}

#[test]
fn the_packages_named_are_those_the_library_needs() {
    let text = succeed(Command::new("readelf").arg("-d").arg(built("libgstfactorseg.so")));
    let needed: BTreeSet<String> = text
        .lines()
        .filter_map(|line| line.split_once("Shared library: [")?.1.split_once(".so"))
        .map(|(name, _)| name.trim_start_matches("lib").to_owned())
        .filter(|name| !EVERYWHERE.contains(&name.as_str()))
        .collect();
    let flags = succeed(Command::new("pkg-config").arg("--libs-only-l").args(requires()));
    let named: BTreeSet<String> = flags
        .split_whitespace()
        .filter_map(|flag| flag.strip_prefix("-l"))
        .map(str::to_owned)
        .collect();
    assert_eq!(needed, named);
}

#[test]
fn the_library_is_a_plugin_to_load_and_to_link() {
    let symbols = succeed(
        Command::new("nm")
            .args(["-D", "--defined-only", "--format=just-symbols"])
            .arg(built("libgstfactorseg.so")),
    );
    let symbols: Vec<&str> = symbols.lines().collect();
    assert_eq!(
        symbols,
        ["gst_plugin_factorseg_get_desc", "gst_plugin_factorseg_register"]
    );
}

#[test]
fn a_program_in_c_plays_with_the_plugin_linked_in() {
    // Against the shared library, which takes no build of its own; `cargo cinstall` makes the static one.
    let directory = TempDir::new().unwrap();
    let library = built("libgstfactorseg.so");
    let folder = library.parent().unwrap().display().to_string();
    let program = directory.path().join("play");
    let flags = succeed(Command::new("pkg-config").args(["--cflags", "--libs", "gstreamer-1.0"]));
    succeed(
        Command::new("cc")
            .args(["-Wall", "-Werror", "-o"])
            .arg(&program)
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("static/play.c"))
            .args([
                format!("-L{folder}"),
                format!("-Wl,-rpath,{folder}"),
                "-lgstfactorseg".to_owned(),
            ])
            .args(flags.split_whitespace()),
    );
    let text = succeed(
        Command::new(program)
            .env("GST_REGISTRY", directory.path().join("registry.bin"))
            .env_remove("GST_PLUGIN_PATH"),
    );
    assert!(text.contains("frames=(guint64)5, inferred=(guint64)5"), "{text}");
}

/// Files and folders below a folder.
fn tree(folder: &Path) -> BTreeSet<String> {
    let list = succeed(Command::new("find").arg(folder));
    list.lines().map(str::to_owned).collect()
}

#[test]
fn what_is_installed_is_found_and_goes_without_rest() {
    let (home, registry) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let local = home.path().join(".local");
    // What others have there stays.
    std::fs::create_dir_all(local.join("share/man/man1")).unwrap();
    std::fs::create_dir(local.join("bin")).unwrap();
    std::fs::write(local.join("bin/other"), "").unwrap();
    let before = tree(home.path());
    let in_home = |program: &Path| {
        let mut command = Command::new(program);
        command
            .env("HOME", home.path())
            .env("GST_REGISTRY", registry.path().join("registry.bin"))
            .env_remove("XDG_DATA_HOME")
            .env_remove("GST_PLUGIN_PATH");
        command
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/install.sh");
    let install = || {
        let mut command = in_home(&script);
        command
            .env("BUILT", built("factorseg").parent().unwrap())
            .env_remove("PREFIX");
        command
    };
    fail(install().arg("--uninstall"));
    // An update leaves nothing of what was there.
    succeed(&mut install());
    succeed(&mut install());
    let inspected = succeed(in_home(Path::new("gst-inspect-1.0")).arg("factorseg"));
    let plugin = local.join("share/gstreamer-1.0/plugins/libgstfactorseg.so");
    assert!(inspected.contains(&plugin.display().to_string()), "{inspected}");
    for program in ["factorseg", "factorseg-pipeline"] {
        let version = succeed(in_home(&local.join("bin").join(program)).arg("--version"));
        assert!(version.contains(env!("CARGO_PKG_VERSION")), "{version}");
        for file in [
            format!("share/man/man1/{program}.1"),
            format!("share/man/man1/{program}-manual.1"),
            format!("share/zsh/site-functions/_{program}"),
            format!("share/fish/vendor_completions.d/{program}.fish"),
        ] {
            assert!(local.join(&file).is_file(), "{file}");
        }
        let completion = local.join("share/bash-completion/completions").join(program);
        succeed(Command::new("bash").arg("-n").arg(completion));
    }
    assert!(local.join("share/gstreamer-1.0/presets/GstFactorSeg.prs").is_file());
    succeed(install().arg("--uninstall"));
    assert_eq!(tree(home.path()), before);
}
