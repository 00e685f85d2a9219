//! `factorseg-pipeline davis`: the masks of a whole data set in the layout of DAVIS.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use factorseg_refine::instances::Instances;

use crate::arguments::{Element, InputOptions};
use crate::input::{HEAD, Input};
use crate::masks::{MASKS, Mask, each_mask};
use crate::runner::{Ending, Job, Stop, say};

/// Write masks of all sequences of a data set in the layout of DAVIS: SEQUENCE/FRAME.png, indices into its palette.
#[derive(Debug, Args)]
#[command(after_help = "\
The index is 0 for the background, and 1, 2, ... for the regions of the object, in their order; with --pieces for its connected pieces, at \
most 20, each of which keeps its index from frame to frame.

Examples:
  factorseg-pipeline davis --in DAVIS --out results
  factorseg-pipeline davis --in DAVIS --out results --sequences blackswan,cows refine=guided
  factorseg-pipeline davis --in DAVIS --out results --pieces
  factorseg evaluate davis DAVIS --help                      # scores a model on the same sequences")]
pub struct Davis {
    /// The data set: a folder with JPEGImages/480p/SEQUENCE/*.jpg, JPEGImages/SEQUENCE/*.jpg, or SEQUENCE/*.jpg
    #[arg(long = "in", value_name = "FOLDER")]
    data: PathBuf,

    /// Where the sequences' folders of masks go; made if it is not there
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,

    /// Only these
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    sequences: Vec<String>,

    /// Tell connected pieces of the object apart, not regions
    #[arg(long)]
    pieces: bool,

    #[command(flatten)]
    element: Element,
}

impl Davis {
    /// Runs the command.
    ///
    /// # Errors
    /// If there is no sequence, a picture cannot be read, or a mask not written.
    pub async fn run(self, stop: &Stop) -> Result<Ending> {
        let mut sequences = sequences(&self.data)?;
        for name in &self.sequences {
            ensure!(
                sequences.iter().any(|sequence| sequence.ends_with(name)),
                "{} holds no sequence `{name}`",
                self.data.display()
            );
        }
        sequences.retain(|path| self.sequences.is_empty() || self.sequences.iter().any(|name| path.ends_with(name)));
        for sequence in &sequences {
            let name = sequence.file_name().context("a sequence without a name")?;
            say(&format!("{}:", name.to_string_lossy()));
            let input = Input::from_place(&sequence.to_string_lossy(), &InputOptions::default())?;
            let folder = self.out.join(name);
            fs::create_dir_all(&folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
            let job = Job::new(&format!("{HEAD} ! {MASKS}"), &self.element.properties, stop)?;
            let pictures = input.pictures().to_vec();
            let mut instances = self.pieces.then(Instances::default);
            each_mask(&job, move |mask| {
                let picture = pictures.get(mask.index).and_then(|path| path.file_name());
                let file = folder
                    .join(picture.context("more masks than pictures")?)
                    .with_extension("png");
                write(&file, &mask, instances.as_mut()).with_context(|| format!("cannot write {}", file.display()))
            })?;
            input.add_to(&job, "in", None)?;
            if job.run().await? == Ending::Interrupted {
                return Ok(Ending::Interrupted);
            }
        }
        say(&format!(
            "wrote {} sequences to {}",
            sequences.len(),
            self.out.display()
        ));
        Ok(Ending::Done)
    }
}

/// The folders of pictures of a data set, in the order of their names.
fn sequences(data: &Path) -> Result<Vec<PathBuf>> {
    let places = [data.join("JPEGImages/480p"), data.join("JPEGImages"), data.to_owned()];
    let folder = places.iter().find(|folder| folder.is_dir()).unwrap_or(&places[2]);
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read the folder {}", folder.display()))?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut sequences: Vec<PathBuf> = paths.filter(|path| path.is_dir()).collect();
    ensure!(
        !sequences.is_empty(),
        "{} holds no folders of pictures",
        folder.display()
    );
    sequences.sort();
    Ok(sequences)
}

fn write(path: &Path, mask: &Mask, instances: Option<&mut Instances>) -> Result<()> {
    let mut index = [0; 256];
    for (region, number) in mask.objects().into_iter().zip(1..) {
        index[usize::from(region)] = number;
    }
    let mut indices: Vec<u8> = mask.labels.iter().map(|label| index[usize::from(*label)]).collect();
    if let Some(instances) = instances {
        let object: Vec<bool> = indices.iter().map(|index| *index > 0).collect();
        indices = instances.follow(&object, mask.width);
    }
    let mut encoder = png::Encoder::new(
        BufWriter::new(File::create(path)?),
        mask.width as u32,
        mask.height as u32,
    );
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_palette((0..256).flat_map(colour).collect::<Vec<u8>>());
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&indices)?;
    Ok(writer.finish()?)
}

/// An index's colour in the palette of PASCAL VOC and DAVIS: its bits from the lowest go to red, green and blue from the highest.
fn colour(index: u32) -> [u8; 3] {
    std::array::from_fn(|channel| {
        (0..3).fold(0, |value, bit| {
            value | (((index >> (3 * bit + channel)) & 1) as u8) << (7 - bit)
        })
    })
}
