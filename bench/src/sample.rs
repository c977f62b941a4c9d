//! What was measured: of each series, one sample per round.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    cpu::CpuSeconds,
    load::Latency,
    series::{Series, Subject},
    stats,
};

/// One run of one load generator.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Sample {
    /// Operations per second.
    pub(crate) rate: f64,
    pub(crate) latency: Latency,
    /// By process.
    pub(crate) cpu_seconds_per_million: CpuSeconds,
}

/// The name under which a load generator's own CPU time stands.
pub(crate) const LOAD_GENERATOR: &str = "load generator";

impl Sample {
    /// CPU time of everything, who asks included.
    pub(crate) fn cpu_of_everything(&self) -> f64 {
        self.cpu_seconds_per_million.values().sum()
    }

    /// CPU time of everything that does the work; who asks for it is left out.
    pub(crate) fn cpu_of_servers(&self) -> f64 {
        let servers =
            self.cpu_seconds_per_million.iter().filter(|(name, _)| *name != LOAD_GENERATOR);
        servers.map(|(_, seconds)| seconds).sum()
    }
}

/// All samples, by series, in the order of rounds.
#[derive(Debug, Default)]
pub(crate) struct Samples(BTreeMap<Series, Vec<Sample>>);

impl Samples {
    pub(crate) fn add(&mut self, series: Series, sample: Sample) {
        self.0.entry(series).or_default().push(sample);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Series, &[Sample])> {
        self.0.iter().map(|(series, samples)| (series, samples.as_slice()))
    }

    pub(crate) fn of(&self, subject: Subject, callers: u32) -> &[Sample] {
        self.0.get(&Series { subject, callers }).map_or(&[], Vec::as_slice)
    }

    /// One number of each round.
    pub(crate) fn each(
        &self,
        subject: Subject,
        callers: u32,
        number: impl Fn(&Sample) -> f64,
    ) -> Vec<f64> {
        self.of(subject, callers).iter().map(number).collect()
    }

    pub(crate) fn rates(&self, subject: Subject, callers: u32) -> Vec<f64> {
        self.each(subject, callers, |sample| sample.rate)
    }

    /// The number of callers with which the median rate is highest, and the rates with it.
    pub(crate) fn best(&self, subject: Subject) -> (u32, Vec<f64>) {
        let of_subject = self.0.keys().filter(|series| series.subject == subject);
        let candidates =
            of_subject.map(|series| (series.callers, self.rates(subject, series.callers)));
        let rank = |rates: &[f64]| stats::median(rates);
        candidates
            .max_by(|(_, one), (_, other)| rank(one).total_cmp(&rank(other)))
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(rate: f64) -> Sample {
        let cpu = [("a", 1.0), ("b", 2.0), (LOAD_GENERATOR, 4.0)];
        let cpu_seconds_per_million = cpu.map(|(name, used)| (name.to_owned(), used)).into();
        Sample { rate, latency: Latency::default(), cpu_seconds_per_million }
    }

    #[test]
    fn the_best_concurrency_is_that_of_the_highest_median() {
        let mut samples = Samples::default();
        for (callers, rates) in [(1, [9.0, 1.0, 1.0]), (16, [2.0, 2.0, 2.0])] {
            for rate in rates {
                samples.add(Series { subject: Subject::Insert, callers }, sample(rate));
            }
        }
        assert_eq!(samples.best(Subject::Insert), (16, vec![2.0, 2.0, 2.0]));
        assert_eq!(samples.rates(Subject::Deposit, 1), Vec::<f64>::new());
    }

    #[test]
    fn the_load_generator_is_not_part_of_the_work() {
        assert!((sample(1.0).cpu_of_servers() - 3.0).abs() < 1e-9);
    }
}
