//! Where documented commands run: a folder with small stand-ins of what a reader has. Programs come from a folder in front of all others.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use factorseg_tests::{built, gstreamer_tool, succeed};
use image::{Rgb, RgbImage};
use tempfile::TempDir;

use crate::markdown::root;

/// Programs of this project that the build puts beside the tests.
pub const PROGRAMS: [&str; 2] = ["factorseg", "factorseg-pipeline"];

/// What a reader has who parses alone: programs of others, which do nothing here.
const OTHERS: [&str; 16] = [
    "apt",
    "apt-get",
    "curl",
    "docker",
    "git",
    "gst-inspect-1.0",
    "kill",
    "lintian",
    "make",
    "mdbook",
    "pip",
    "pkg-config",
    "rustup",
    "v4l2-ctl",
    "x-www-browser",
    "xdg-open",
];

/// Where one registry for all places lies: GStreamer takes a second to fill one.
const REGISTRY: &str = env!("CARGO_TARGET_TMPDIR");

/// A folder in which blocks run one after the other.
pub struct Place {
    directory: TempDir,
    parses: bool,
}

impl Place {
    /// Commands run, on stand-ins: cameras are test pictures, screens show nothing, training takes a few steps.
    pub fn running() -> Self {
        let place = Self::new(false);
        place.link(&["model", "pipelines", "plugin", "scripts", "tests"]);
        place.media();
        for program in PROGRAMS {
            symlink(built(program), place.bin(program)).unwrap();
        }
        fs::remove_file(place.bin("factorseg")).unwrap();
        let short = "--steps 4 --batch-size 2 --save-every 2 --sample-every 2 --held-out 2";
        place.script(
            "factorseg",
            &format!(
                "case $1 in train) set -- \"$@\" {short};; esac\nexec {} \"$@\"",
                built("factorseg").display()
            ),
        );
        let launch = succeed(Command::new("sh").args(["-c", "command -v gst-launch-1.0"]));
        place.script(
            "gst-launch-1.0",
            &format!(
                "words=()\nfor word; do case $word in\n\
                 v4l2src) words+=(videotestsrc is-live=true num-buffers=15);; device=/dev/video*) ;;\n\
                 auto*sink) words+=(fakesink);; *) words+=(\"$word\");; esac; done\n\
                 exec {} \"${{words[@]}}\"",
                launch.trim()
            ),
        );
        place
    }

    /// Programs parse their words and do nothing; pipelines and words of cargo are kept for [`Self::kept`].
    pub fn parsing() -> Self {
        let place = Self::new(true);
        place.link(&["model", "plugin"]);
        for program in PROGRAMS {
            place.script(
                program,
                &format!("exec {} \"$@\" --help >/dev/null", built(program).display()),
            );
        }
        for program in ["cargo", "gst-launch-1.0"] {
            place.script(
                program,
                &format!("printf '%s\\0' \"$@\" >> \"$KEPT/{program}\"; printf '\\n' >> \"$KEPT/{program}\""),
            );
        }
        for program in OTHERS {
            place.script(program, "");
        }
        // What comes behind options.
        for program in ["mpirun", "srun", "sudo", "time", "nice", "env"] {
            place.script(
                program,
                "while (($#)) && ! [[ $1 =~ ^(factorseg|cargo|gst-|scripts/|apt|env$) ]]; do shift; done\n\"$@\"",
            );
        }
        place.script(
            "cc",
            "while [[ $1 != -o ]]; do [[ $1 != *.c || -e $1 ]]; shift; done; cp \"$(command -v git)\" \"$2\"",
        );
        place.script(
            "python3",
            "case $* in -m\\ venv*) mkdir -p \"$3/bin\"; cp \"$(command -v git)\" \"$3/bin/pip\";; *.py*) [[ -e $1 ]];; esac",
        );
        for folder in [
            "scripts",
            "docs/bench",
            "tests/cuda",
            "tests/static",
            "pipelines/examples",
        ] {
            fs::create_dir_all(place.path().join(folder)).unwrap();
            for entry in fs::read_dir(root().join(folder)).unwrap().map(Result::unwrap) {
                let name = entry.file_name().into_string().unwrap();
                let text = match name.as_str() {
                    "features.sh" => "FEATURES=() PLUGIN=()",
                    _ => "",
                };
                if entry.file_type().unwrap().is_file() {
                    executable(&place.path().join(folder).join(name), text);
                }
            }
        }
        place
    }

    fn new(parses: bool) -> Self {
        let place = Self {
            directory: TempDir::new().unwrap(),
            parses,
        };
        fs::create_dir(place.bin("")).unwrap();
        fs::create_dir(place.path().join(".kept")).unwrap();
        place
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn bin(&self, name: &str) -> PathBuf {
        self.path().join(".bin").join(name)
    }

    fn link(&self, folders: &[&str]) {
        for folder in folders {
            symlink(root().join(folder).canonicalize().unwrap(), self.path().join(folder)).unwrap();
        }
    }

    fn script(&self, name: &str, text: &str) {
        executable(&self.bin(name), text);
    }

    /// What the book calls by these names.
    fn media(&self) {
        let path = self.path();
        fs::create_dir_all(path.join("footage/yard")).unwrap();
        let film = root().join("pipelines/media/bigbuckbunny.mp4");
        fs::copy(film, path.join("footage/walk.mp4")).unwrap();
        succeed(
            gstreamer_tool("gst-launch-1.0", REGISTRY.as_ref()).current_dir(path).args(
                "-q videotestsrc num-buffers=12 pattern=ball ! video/x-raw,width=160,height=120 ! x264enc ! queue ! mux. \
                 audiotestsrc num-buffers=18 ! avenc_aac ! queue ! mp4mux name=mux ! filesink location=holiday.mp4"
                    .split_whitespace(),
            ),
        );
        fs::create_dir(path.join("photos")).unwrap();
        for index in 0..24u8 {
            let picture = RgbImage::from_fn(96, 72, |x, y| {
                let inside = (x as f32 - 30.0 - 1.5 * f32::from(index)).hypot(y as f32 - 36.0) < 20.0;
                if inside {
                    Rgb([220, 190, 40])
                } else {
                    Rgb([(x * 2) as u8, 40, (y * 3) as u8])
                }
            });
            picture.save(path.join(format!("photos/{index:05}.jpg"))).unwrap();
        }
        let sequence = path.join("DAVIS/JPEGImages/480p/dog");
        fs::create_dir_all(&sequence).unwrap();
        for index in 0..3 {
            let name = format!("{index:05}.jpg");
            fs::copy(path.join("photos").join(&name), sequence.join(&name)).unwrap();
        }
        for name in ["dog.jpg", "beach.jpg"] {
            fs::copy(path.join("photos/00000.jpg"), path.join(name)).unwrap();
        }
    }

    /// Runs commands in bash, which stops at the first that fails.
    pub fn run(&self, commands: &str) -> Output {
        let prelude = match self.parses {
            // Folders that other commands would have made.
            true => "cd() { :; }\n",
            false => "",
        };
        // Nothing but the shell's own where programs parse.
        let path = match self.parses {
            true => self.bin("").display().to_string() + ":/usr/bin:/bin",
            false => self.bin("").display().to_string() + ":" + &std::env::var("PATH").unwrap(),
        };
        gstreamer_tool("bash", REGISTRY.as_ref())
            .args(["-euo", "pipefail", "-c", &format!("{prelude}{commands}")])
            .current_dir(self.path())
            .env("PATH", path)
            .env("HOME", self.path())
            .env("KEPT", self.path().join(".kept"))
            .env("GST_PRESET_PATH", root().join("plugin/presets"))
            .output()
            .unwrap()
    }

    /// The words that a program was given since the last call, of each of its calls.
    pub fn kept(&self, program: &str) -> Vec<Vec<String>> {
        let file = self.path().join(".kept").join(program);
        let text = fs::read_to_string(&file).unwrap_or_default();
        let _ = fs::remove_file(file);
        text.split("\0\n")
            .filter(|call| !call.is_empty())
            .map(|call| call.split('\0').map(str::to_owned).collect())
            .collect()
    }
}

fn executable(path: &Path, text: &str) {
    fs::write(path, format!("#!/bin/bash -e\n{text}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}
