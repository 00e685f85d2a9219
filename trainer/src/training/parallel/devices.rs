//! The devices of a run: `cuda:0,cuda:1,remote:gpu-box:7878`.

use std::fmt;
use std::str::FromStr;

use factorseg_model::{DeviceError, DeviceSpec};
use thiserror::Error;

const REMOTE: &str = "remote:";

/// Where gradients are computed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Member {
    /// On a device of this machine.
    Local(DeviceSpec),
    /// By the worker at this address.
    Remote(String),
}

/// One or more devices. The first of this machine (the CPU if there is none) is the lead: it holds weights and optimizer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceList(Vec<Member>);

/// Words that are no list of devices.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DeviceListError {
    /// A word names no device.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// A worker's address is none.
    #[error("`{0}` is no worker's address; use remote:HOST:PORT, as `factorseg worker` prints it")]
    Address(String),
    /// A GPU would work twice.
    #[error("{0} is named twice")]
    Twice(DeviceSpec),
}

impl DeviceList {
    /// How many compute gradients.
    pub fn members(&self) -> usize {
        self.0.len()
    }

    /// The device that holds weights and optimizer.
    pub fn lead(&self) -> DeviceSpec {
        self.lead_index().map_or(DeviceSpec::Cpu, |index| match &self.0[index] {
            Member::Local(spec) => *spec,
            Member::Remote(_) => DeviceSpec::Cpu,
        })
    }

    /// Whether the lead computes gradients too. It does not where only workers are named.
    pub fn leads(&self) -> bool {
        self.lead_index().is_some()
    }

    /// All but the lead.
    pub fn replicas(&self) -> impl Iterator<Item = &Member> {
        let lead = self.lead_index();
        let others = self.0.iter().enumerate().filter(move |(index, _)| Some(*index) != lead);
        others.map(|(_, member)| member)
    }

    /// Threads for each learner on the CPU, of `threads` altogether (0: one per core).
    pub fn threads(&self, threads: usize) -> usize {
        let cpus = self
            .0
            .iter()
            .filter(|member| **member == Member::Local(DeviceSpec::Cpu));
        let cpus = cpus.count();
        if cpus < 2 {
            return threads;
        }
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let all = if threads == 0 { cores } else { threads };
        (all / cpus).max(1)
    }

    fn lead_index(&self) -> Option<usize> {
        self.0.iter().position(|member| matches!(member, Member::Local(_)))
    }
}

impl From<DeviceSpec> for DeviceList {
    fn from(spec: DeviceSpec) -> Self {
        Self(vec![Member::Local(spec)])
    }
}

impl FromStr for DeviceList {
    type Err = DeviceListError;

    fn from_str(words: &str) -> Result<Self, DeviceListError> {
        let mut members = Vec::new();
        for word in words.split(',') {
            let member = match word.strip_prefix(REMOTE) {
                Some(address) => {
                    let valid = address
                        .rsplit_once(':')
                        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0));
                    if !valid {
                        return Err(DeviceListError::Address(word.to_owned()));
                    }
                    Member::Remote(address.to_owned())
                }
                None => Member::Local(word.parse()?),
            };
            if let Member::Local(spec @ (DeviceSpec::Cuda(_) | DeviceSpec::Auto)) = member
                && members.contains(&member)
            {
                return Err(DeviceListError::Twice(spec));
            }
            members.push(member);
        }
        Ok(Self(members))
    }
}

impl fmt::Display for DeviceList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, member) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            match member {
                Member::Local(spec) => spec.fmt(f)?,
                Member::Remote(address) => write!(f, "{REMOTE}{address}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_as_they_are_written() {
        for words in [
            "auto",
            "cpu,cpu",
            "cuda:0,cuda:1",
            "remote:[::1]:80,cuda:2,remote:box:7878",
        ] {
            assert_eq!(words.parse::<DeviceList>().unwrap().to_string(), words);
        }
        for words in [
            "",
            "cpu,",
            "gpu",
            "remote:",
            "remote:box",
            "remote::80",
            "remote:box:0",
            "cuda:1,cuda:1",
        ] {
            assert!(words.parse::<DeviceList>().is_err(), "{words}");
        }
    }

    #[test]
    fn the_first_device_of_this_machine_leads() {
        let list = |words: &str| words.parse::<DeviceList>().unwrap();
        let mixed = list("remote:box:1,cuda:1,cpu");
        assert_eq!(
            (mixed.lead(), mixed.leads(), mixed.members()),
            (DeviceSpec::Cuda(1), true, 3)
        );
        let others: Vec<Member> = mixed.replicas().cloned().collect();
        assert_eq!(others, [Member::Remote("box:1".into()), Member::Local(DeviceSpec::Cpu)]);
        let away = list("remote:box:1,remote:box:2");
        assert_eq!(
            (away.lead(), away.leads(), away.replicas().count()),
            (DeviceSpec::Cpu, false, 2)
        );
        assert_eq!(
            (
                list("cpu,cpu").threads(5),
                list("cpu").threads(0),
                list("cpu,cpu").threads(1)
            ),
            (2, 0, 1)
        );
    }
}
