//! On what everything was measured.

use std::{collections::BTreeMap, fs, thread};

use serde::Serialize;

use crate::servers::Servers;

/// The machine and the servers.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    cpu: String,
    cores: usize,
    memory_gib: u64,
    kernel: String,
    postgres: String,
    redis: String,
    postgres_settings: BTreeMap<String, String>,
    /// Settings of services that are not their defaults, from our environment.
    service_settings: BTreeMap<String, String>,
}

impl Machine {
    /// Looks around.
    pub(crate) async fn look(servers: &Servers) -> anyhow::Result<Self> {
        let (postgres, redis) = servers.versions().await?;
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let memory = field("/proc/meminfo", "MemTotal").unwrap_or_default();
        let kibibytes: u64 = memory.trim_end_matches(" kB").parse().unwrap_or(0);
        Ok(Self {
            cpu: field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned()),
            cores: thread::available_parallelism().map_or(0, std::num::NonZero::get),
            memory_gib: kibibytes >> 20,
            kernel: kernel.trim().to_owned(),
            postgres,
            redis,
            postgres_settings: servers.settings().await?,
            service_settings: std::env::vars().filter(|(name, _)| is_setting(name)).collect(),
        })
    }

    /// Line by line.
    pub(crate) fn lines(&self) -> Vec<String> {
        let list = |settings: &BTreeMap<String, String>| {
            let pairs = settings.iter().map(|(name, value)| format!("{name}={value}"));
            pairs.collect::<Vec<_>>().join(" ")
        };
        let mut lines = vec![
            format!(
                "{}, {} cores, {} GiB, Linux {}",
                self.cpu, self.cores, self.memory_gib, self.kernel
            ),
            format!("PostgreSQL {}: {}", self.postgres, list(&self.postgres_settings)),
            format!("Redis {}: no persistence, noeviction", self.redis),
        ];
        if !self.service_settings.is_empty() {
            lines.push(format!("services with {}", list(&self.service_settings)));
        }
        lines
    }
}

fn is_setting(name: &str) -> bool {
    ["WRITE_SERVICE_", "PROJECTOR_", "READ_SERVICE_"].iter().any(|prefix| name.starts_with(prefix))
}

/// The value of the first line `name : value`.
fn field(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
