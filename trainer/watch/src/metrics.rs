//! `metrics.jsonl` as named series.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use serde_json::Value;

/// Points of one quantity over the steps.
pub type Series = Vec<(f64, f64)>;

/// Everything that a run measured.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metrics {
    /// Series by kind of line and field, such as `train/loss`, `held-out/masks/shares/0`.
    pub series: BTreeMap<String, Series>,
    /// Step and name wherever another phase begins.
    pub phases: Vec<(f64, String)>,
    /// The last line of each kind.
    pub last: BTreeMap<String, Value>,
}

/// Calls `each` with the path and value of every number in a line.
pub fn numbers(kind: &str, line: &Value, each: &mut impl FnMut(&str, f64)) {
    fn walk(path: &str, value: &Value, each: &mut impl FnMut(&str, f64)) {
        match value {
            Value::Number(number) => {
                if let Some(number) = number.as_f64() {
                    each(path, number);
                }
            }
            Value::Object(fields) => {
                for (name, value) in fields {
                    walk(&format!("{path}/{name}"), value, each);
                }
            }
            Value::Array(values) => {
                for (index, value) in values.iter().enumerate() {
                    walk(&format!("{path}/{index}"), value, each);
                }
            }
            _ => {}
        }
    }
    for (name, value) in line.as_object().into_iter().flatten() {
        if name != "step" {
            walk(&format!("{kind}/{name}"), value, each);
        }
    }
}

impl Metrics {
    /// Reads a run's `metrics.jsonl`. Lines that are no metrics (a half-written last one) are left out.
    ///
    /// # Errors
    /// If the file cannot be read; a missing one is an empty run.
    pub fn read(path: &Path) -> io::Result<Self> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        let mut metrics = Self::default();
        for line in BufReader::new(file).lines() {
            if let Ok(value) = serde_json::from_str(&line?) {
                metrics.add(value);
            }
        }
        Ok(metrics)
    }

    fn add(&mut self, line: Value) {
        let (Some(kind), Some(step)) = (line["kind"].as_str(), line["step"].as_f64()) else {
            return;
        };
        let kind = kind.to_owned();
        numbers(&kind, &line, &mut |name, value| {
            self.series.entry(name.to_owned()).or_default().push((step, value));
        });
        if let Some(phase) = line["phase"].as_str()
            && self.phases.last().is_none_or(|(_, name)| name != phase)
        {
            self.phases.push((step, phase.to_owned()));
        }
        self.last.insert(kind, line);
    }

    /// A series, or none.
    pub fn get(&self, name: &str) -> &[(f64, f64)] {
        self.series.get(name).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests;
