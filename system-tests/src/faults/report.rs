//! What many runs together say.

use std::{collections::BTreeMap, fmt::Write, io, path::Path, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Order, row::Row, run::Ran, tally::Count};
use crate::oracles::{Oracle, Verdict};

/// Everything that was run, added up.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// The seeds of each row, with the seconds of each.
    runs: BTreeMap<u32, BTreeMap<u64, u64>>,
    calls: BTreeMap<String, u64>,
    reads: BTreeMap<String, u64>,
    counts: BTreeMap<String, Count>,
    verdicts: BTreeMap<Oracle, Verdict>,
    first_ok: BTreeMap<String, Times>,
    caught_up: BTreeMap<String, Times>,
    staleness: [Times; 2],
    findings: Vec<String>,
}

/// How often what took how many milliseconds.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Times(BTreeMap<u64, u64>);

impl Times {
    fn extend(&mut self, times: impl IntoIterator<Item = Duration>) {
        for time in times {
            let milliseconds = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
            *self.0.entry(milliseconds).or_default() += 1;
        }
    }

    /// The median, the 99th percentile and the largest.
    fn spread(&self) -> String {
        let count: u64 = self.0.values().sum();
        let at = |percent: u64| {
            let place = (count * percent).div_ceil(100);
            let mut before = 0;
            let time = self.0.iter().find(|(_, times)| {
                before += **times;
                before >= place
            });
            time.map_or_else(String::new, |(time, _)| format!("{:.2} s", approximate(*time) / 1e3))
        };
        match count {
            0 => String::new(),
            _ => format!("{}, {}, {}", at(50), at(99), at(100)),
        }
    }
}

impl Report {
    /// What an earlier process has written to a file, or nothing if there is none.
    ///
    /// # Errors
    /// When there is one that cannot be read, or is no report.
    pub fn resume(file: &Path) -> io::Result<Self> {
        match std::fs::read(file) {
            Ok(text) => Ok(serde_json::from_slice(&text)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    /// Writes it so that [`Report::resume`] reads it again, all or nothing of it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, file: &Path) -> io::Result<()> {
        let beside = file.with_extension("new");
        std::fs::write(&beside, serde_json::to_vec(self)?)?;
        std::fs::rename(beside, file)
    }

    /// Adds a run.
    pub fn add(&mut self, ran: &Ran) {
        let Order { row, seed, length } = ran.order;
        self.runs.entry(row.number).or_default().insert(seed, length.as_secs());
        let add = |counts: &mut BTreeMap<String, u64>, more: &BTreeMap<&'static str, u64>| {
            for (what, count) in more {
                *counts.entry((*what).to_owned()).or_default() += count;
            }
        };
        add(&mut self.calls, &ran.calls);
        add(&mut self.reads, &ran.reads);
        for (fault, count) in &ran.counts {
            let all = self.counts.entry((*fault).to_owned()).or_default();
            all.injected += count.injected;
            all.reached += count.reached;
        }
        for (oracle, verdict) in &ran.verdicts {
            self.verdicts.entry(*oracle).or_default().add(verdict);
        }
        for recovery in &ran.recoveries {
            let fault = || recovery.fault.to_owned();
            self.first_ok.entry(fault()).or_default().extend(recovery.first_ok);
            self.caught_up.entry(fault()).or_default().extend(recovery.caught_up);
        }
        for (all, more) in self.staleness.iter_mut().zip(&ran.staleness) {
            all.extend(more.iter().copied());
        }
        let place = format!("{} (logs of the processes: {})", ran.again(), ran.logs);
        self.findings.extend(ran.findings().iter().map(|finding| format!("{finding}\n  {place}")));
    }

    /// Whether this run is in it already.
    #[must_use]
    pub fn has(&self, order: &Order) -> bool {
        let seeds = self.runs.get(&order.row.number);
        seeds.and_then(|seeds| seeds.get(&order.seed)) == Some(&order.length.as_secs())
    }

    /// Whether nothing was wrong, every fault had an effect, every promise was judged, but for runs that only damage the log, and
    /// every row was run that was asked for by its number.
    #[must_use]
    pub fn is_good(&self, named: &[Row]) -> bool {
        let is_judged =
            |oracle: &Oracle| self.verdicts.get(oracle).is_some_and(|verdict| verdict.judged > 0);
        let only_damage = self
            .runs
            .keys()
            .all(|row| Row::numbered(*row).is_some_and(|row| row.damages_the_log()));
        self.findings.is_empty()
            && named.iter().all(|row| self.runs.contains_key(&row.number))
            && self.counts.values().all(|count| count.reached > 0)
            && (only_damage || Oracle::ALL.iter().all(is_judged))
    }

    /// The report for people.
    #[must_use]
    pub fn text(&self, asked: &[Row]) -> String {
        let mut out = String::new();
        let runs: usize = self.runs.values().map(BTreeMap::len).sum();
        let seconds: u64 = self.runs.values().flat_map(BTreeMap::values).sum();
        line(&mut out, &format!("{runs} runs, {seconds} seconds of faults.\n"));
        line(&mut out, "| Row | Runs | Seeds | Seconds each |\n|---|---|---|---|");
        for row in asked {
            let Some(seeds) = self.runs.get(&row.number) else { continue };
            let seeds_text = range(seeds.keys());
            let seconds_text = range(seeds.values());
            let (number, title, runs) = (row.number, row.title, seeds.len());
            let text = format!("| {number} {title} | {runs} | {seeds_text} | {seconds_text} |");
            line(&mut out, &text);
        }
        line(&mut out, &format!("\nCalls: {}.", listed(&self.calls)));
        line(&mut out, &format!("Reads: {}.\n", listed(&self.reads)));
        self.write_oracles(&mut out);
        self.write_faults(&mut out);
        line(
            &mut out,
            &format!(
                "Staleness that reads told (p50, p99, max): calm {}; under faults {}.\n",
                self.staleness[0].spread(),
                self.staleness[1].spread()
            ),
        );
        for row in asked {
            if let Some(why) = row.not_tested() {
                line(&mut out, &format!("Not tested: row {} ({}): {why}.", row.number, row.title));
            }
        }
        for finding in &self.findings {
            line(&mut out, &format!("VIOLATION {finding}"));
        }
        out
    }

    fn write_oracles(&self, out: &mut String) {
        line(
            out,
            "| Promise | Judged | Violations | True share of violations, 95 % sure |\n|---|---|---|---|",
        );
        for oracle in Oracle::ALL {
            let Some(verdict) = self.verdicts.get(&oracle) else { continue };
            // Nothing wrong among n: with 95 % certainty less than 3/n is.
            let bound = match (verdict.wrong, verdict.judged) {
                (_, 0) => "nothing was judged".to_owned(),
                (0, judged) => format!("below {:.1e}", 3.0 / approximate(judged)),
                (wrong, judged) => {
                    format!("about {:.1e}", approximate(wrong) / approximate(judged))
                }
            };
            let Verdict { judged, wrong, .. } = verdict;
            line(out, &format!("| {} | {judged} | {wrong} | {bound} |", oracle.promise()));
        }
        line(out, "");
    }

    fn write_faults(&self, out: &mut String) {
        line(
            out,
            "| Fault | Injected | Reached | First acknowledgement after it (p50, p99, max) | Reads caught up |\n|---|---|---|---|---|",
        );
        let names: std::collections::BTreeSet<_> =
            self.counts.keys().chain(self.first_ok.keys()).collect();
        for name in names {
            let Count { injected, reached } = self.counts.get(name).copied().unwrap_or_default();
            let of = |all: &BTreeMap<String, Times>| {
                all.get(name).map_or_else(String::new, Times::spread)
            };
            let (first_ok, caught_up) = (of(&self.first_ok), of(&self.caught_up));
            line(out, &format!("| {name} | {injected} | {reached} | {first_ok} | {caught_up} |"));
        }
        line(out, "");
    }
}

fn line(out: &mut String, text: &str) {
    writeln!(out, "{text}").expect("a string takes everything");
}

fn listed(counts: &BTreeMap<String, u64>) -> String {
    let texts: Vec<String> = counts.iter().map(|(what, count)| format!("{count} {what}")).collect();
    texts.join(", ")
}

/// The least and the most of them.
fn range<'a>(numbers: impl Iterator<Item = &'a u64> + Clone) -> String {
    match (numbers.clone().min(), numbers.max()) {
        (Some(least), Some(most)) if least != most => format!("{least} to {most}"),
        (least, _) => least.map_or_else(String::new, u64::to_string),
    }
}

fn approximate(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_has_the_middle_and_the_end() {
        let spread = |times: &mut dyn Iterator<Item = u64>| {
            let mut all = Times::default();
            all.extend(times.map(Duration::from_secs));
            all.spread()
        };
        assert_eq!(spread(&mut (1..=200).rev()), "100.00 s, 198.00 s, 200.00 s");
        assert_eq!(spread(&mut (200..=200)), "200.00 s, 200.00 s, 200.00 s");
        assert_eq!(spread(&mut std::iter::empty()), "");
    }

    #[test]
    fn a_row_that_was_asked_for_by_its_number_has_to_be_run() {
        let mut report = Report::default();
        for oracle in Oracle::ALL {
            report.verdicts.insert(oracle, Verdict { judged: 1, ..Verdict::default() });
        }
        let rows = Row::all();
        report.runs.entry(rows[0].number).or_default().insert(1, 3);
        assert!(report.is_good(&[]) && report.is_good(&rows[..1]));
        assert!(!report.is_good(&rows[..2]));
    }

    #[test]
    fn a_report_is_the_same_after_it_was_written_and_read() {
        let order = Order { row: Row::all()[0], seed: 7, length: Duration::from_secs(3) };
        let mut report = Report::default();
        report.runs.entry(order.row.number).or_default().insert(7, 3);
        report.staleness[1].extend([Duration::from_millis(12)]);
        report.verdicts.insert(Oracle::NoLoss, Verdict { judged: 5, ..Verdict::default() });
        let again: Report = serde_json::from_str(&serde_json::to_string(&report).unwrap()).unwrap();
        assert_eq!(again.text(&Row::all()), report.text(&Row::all()));
        assert!(again.has(&order) && !again.has(&Order { seed: 8, ..order }));
    }
}
