//! What a user may say.

use std::{path::PathBuf, time::Duration};

use clap::Args;

/// How long a full run measures one thing in one round.
const SECONDS: f64 = 3.0;
/// The same of a quick one.
const SECONDS_QUICK: f64 = 1.0;
/// Rounds of a full run: enough for a median.
const ROUNDS: u32 = 3;
const ROUNDS_QUICK: u32 = 2;

/// What to measure and where to put it.
#[derive(Args, Clone, Debug)]
pub(crate) struct BenchArgs {
    /// Only what is quick: under two minutes
    #[arg(long)]
    pub(crate) quick: bool,
    /// Only these figures, by their names in the table
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    pub(crate) only: Vec<String>,
    /// How often everything is measured [default: 3, or 2 with --quick]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: Option<u32>,
    /// For how long each thing is measured in a round [default: 3, or 1 with --quick]
    #[arg(long, value_name = "SECONDS", value_parser = positive)]
    pub(crate) seconds: Option<f64>,
    /// Fraction of the full size of figures that need a large log or a long time [default: 1 for those named with --only,
    /// otherwise as much as fits into half an hour]
    #[arg(long, value_name = "FRACTION", value_parser = positive)]
    pub(crate) scale: Option<f64>,
    /// How many accounts most figures spread over
    #[arg(long, default_value_t = 100_000, value_name = "NUMBER",
        value_parser = clap::value_parser!(u32).range(10..=10_000_000))]
    pub(crate) accounts: u32,
    /// How many events the log and the tables of baselines hold before most figures are measured
    #[arg(long, default_value_t = 0, value_name = "NUMBER",
        value_parser = clap::value_parser!(u32).range(..=1_000_000_000))]
    pub(crate) events: u32,
    /// A setting for the private Postgres, such as `shared_buffers=1GB`; for baselines and figures alike
    #[arg(long = "postgres", value_name = "SETTING=VALUE")]
    pub(crate) postgres_settings: Vec<String>,
    /// Folder of the services' programs [default: that of this program]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) services: Option<PathBuf>,
    /// Write everything measured as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Write the tables as Markdown
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,
    /// Draw pictures, as SVG [default: target/bench, if everything is measured]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) plots: Option<PathBuf>,
}

impl BenchArgs {
    /// Where pictures go. Of single figures none are drawn unasked.
    pub(crate) fn pictures_folder(&self) -> Option<PathBuf> {
        let is_whole = self.only.is_empty() && !self.quick;
        self.plots.clone().or_else(|| is_whole.then(|| PathBuf::from("target/bench")))
    }

    pub(crate) fn rounds(&self) -> u32 {
        self.rounds.unwrap_or(if self.quick { ROUNDS_QUICK } else { ROUNDS })
    }

    /// How long one thing is measured in one round.
    pub(crate) fn time(&self) -> Duration {
        let usual = if self.quick { SECONDS_QUICK } else { SECONDS };
        Duration::from_secs_f64(self.seconds.unwrap_or(usual))
    }

    /// A size or time of a large figure, as this run uses it. Measured by its name it is as large as its goal says; in a
    /// full run, where everything has to fit into half an hour, a fraction of that.
    pub(crate) fn scaled(&self, full: u32, in_full_run: f64) -> u32 {
        let usual = if self.only.is_empty() { in_full_run } else { 1.0 };
        let scaled = f64::from(full) * self.scale.unwrap_or(usual);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
        let scaled = scaled as u32;
        scaled.max(1)
    }

    /// Whether a figure is wanted.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }
}

fn positive(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|error| format!("{error}"))?;
    if number > 0.0 && number.is_finite() { Ok(number) } else { Err("must be positive".into()) }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Alone {
        #[command(flatten)]
        args: BenchArgs,
    }

    fn args(arguments: &[&str]) -> BenchArgs {
        Alone::parse_from(["bench"].iter().chain(arguments)).args
    }

    #[test]
    fn large_figures_are_whole_by_name_and_smaller_in_a_full_run() {
        assert_eq!(args(&[]).scaled(1000, 0.5), 500);
        assert_eq!(args(&["--only", "growth"]).scaled(1000, 0.5), 1000);
        assert_eq!(args(&["--scale", "0.1"]).scaled(1000, 0.5), 100);
        assert_eq!(args(&["--scale", "0.0001"]).scaled(1000, 0.5), 1);
    }

    #[test]
    fn a_time_or_scale_of_nothing_is_refused() {
        for arguments in [["--seconds", "0"], ["--scale", "-1"], ["--rounds", "0"]] {
            assert!(Alone::try_parse_from(["bench"].iter().chain(&arguments)).is_err());
        }
    }
}
