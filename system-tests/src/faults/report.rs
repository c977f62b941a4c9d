//! What many runs together say.

use std::{collections::BTreeMap, fmt::Write, time::Duration};

use super::{row::Row, run::Ran, tally::Count};
use crate::oracles::{Oracle, Verdict};

/// Everything that was run, added up.
#[derive(Debug, Default)]
pub struct Report {
    runs: BTreeMap<u32, Vec<u64>>,
    seconds: u64,
    calls: BTreeMap<&'static str, u64>,
    reads: BTreeMap<&'static str, u64>,
    counts: BTreeMap<&'static str, Count>,
    verdicts: BTreeMap<Oracle, Verdict>,
    first_ok: BTreeMap<&'static str, Vec<Duration>>,
    caught_up: BTreeMap<&'static str, Vec<Duration>>,
    staleness: [Vec<Duration>; 2],
    findings: Vec<String>,
}

impl Report {
    /// Adds a run.
    pub fn add(&mut self, ran: &Ran) {
        self.runs.entry(ran.order.row.number).or_default().push(ran.order.seed);
        self.seconds += ran.order.length.as_secs();
        let add = |counts: &mut BTreeMap<&'static str, u64>, more: &BTreeMap<&'static str, u64>| {
            more.iter().for_each(|(what, count)| *counts.entry(what).or_default() += count);
        };
        add(&mut self.calls, &ran.calls);
        add(&mut self.reads, &ran.reads);
        for (fault, count) in &ran.counts {
            let all = self.counts.entry(fault).or_default();
            all.injected += count.injected;
            all.reached += count.reached;
        }
        for (oracle, verdict) in &ran.verdicts {
            self.verdicts.entry(*oracle).or_default().add(verdict);
        }
        for recovery in &ran.recoveries {
            self.first_ok.entry(recovery.fault).or_default().extend(recovery.first_ok);
            self.caught_up.entry(recovery.fault).or_default().extend(recovery.caught_up);
        }
        for (all, more) in self.staleness.iter_mut().zip(&ran.staleness) {
            all.extend(more);
        }
        let place = format!("{} (logs of the processes: {})", ran.again(), ran.logs);
        self.findings.extend(ran.findings().iter().map(|finding| format!("{finding}\n  {place}")));
    }

    /// Whether nothing was wrong and every fault had an effect.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.findings.is_empty() && self.counts.values().all(|count| count.reached > 0)
    }

    /// The report for people.
    #[must_use]
    pub fn text(&self, asked: &[Row]) -> String {
        let mut out = String::new();
        let runs: usize = self.runs.values().map(Vec::len).sum();
        line(&mut out, &format!("{runs} runs, {} seconds of faults.\n", self.seconds));
        line(&mut out, "| Row | Runs | Seeds |\n|---|---|---|");
        for row in asked {
            let Some(seeds) = self.runs.get(&row.number) else { continue };
            let (least, most) = (seeds.iter().min(), seeds.iter().max());
            let seeds_text = match (least, most) {
                (Some(least), Some(most)) if least != most => format!("{least} to {most}"),
                (Some(only), _) => only.to_string(),
                _ => String::new(),
            };
            line(
                &mut out,
                &format!("| {} {} | {} | {seeds_text} |", row.number, row.title, seeds.len()),
            );
        }
        line(&mut out, &format!("\nCalls: {}.", listed(&self.calls)));
        line(&mut out, &format!("Reads: {}.\n", listed(&self.reads)));
        self.write_oracles(&mut out);
        self.write_faults(&mut out);
        line(
            &mut out,
            &format!(
                "Staleness that reads told (p50, p99, max): calm {}; under faults {}.\n",
                spread(&self.staleness[0]),
                spread(&self.staleness[1])
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
            let of = |all: &BTreeMap<&'static str, Vec<Duration>>| {
                all.get(name).map_or_else(String::new, |times| spread(times))
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

fn listed(counts: &BTreeMap<&'static str, u64>) -> String {
    let texts: Vec<String> = counts.iter().map(|(what, count)| format!("{count} {what}")).collect();
    texts.join(", ")
}

fn approximate(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// The median, the 99th percentile and the largest.
fn spread(times: &[Duration]) -> String {
    let mut times = times.to_vec();
    times.sort_unstable();
    let at = |percent: usize| {
        let place = (times.len() * percent).div_ceil(100).saturating_sub(1);
        times.get(place).map_or_else(String::new, |time| format!("{:.2} s", time.as_secs_f64()))
    };
    match times.is_empty() {
        true => String::new(),
        false => format!("{}, {}, {}", at(50), at(99), at(100)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_has_the_middle_and_the_end() {
        let times: Vec<Duration> = (1..=200).rev().map(Duration::from_secs).collect();
        assert_eq!(spread(&times), "100.00 s, 198.00 s, 200.00 s");
        assert_eq!(spread(&times[..1]), "200.00 s, 200.00 s, 200.00 s");
        assert_eq!(spread(&[]), "");
    }
}
