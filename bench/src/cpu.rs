//! How much CPU time processes have used, by `/proc`.

use std::{collections::BTreeMap, fs};

/// CPU seconds by the name of a process.
pub(crate) type CpuSeconds = BTreeMap<String, f64>;

/// Ticks from `/proc/PID/stat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Ticks {
    /// Of the process itself.
    own: u64,
    /// Of children that have ended and were waited for.
    ended_children: u64,
}

/// What a process has used so far; 0 where there is no `/proc`.
pub(crate) fn of_process(pid: u32) -> f64 {
    seconds(ticks(pid).own)
}

/// What a process and all its children have used so far, also those that have ended. A child that ends between two
/// calls moves from one sum to the other.
pub(crate) fn of_family(pid: u32) -> f64 {
    let parent = ticks(pid);
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let children = children.unwrap_or_default();
    let running = children.split_whitespace().filter_map(|child| child.parse().ok());
    let running: u64 = running.map(|child: u32| ticks(child).own).sum();
    seconds(parent.own + parent.ended_children + running)
}

/// The largest memory a process has had, in bytes.
pub(crate) fn peak_memory(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

/// What was used between two looks.
pub(crate) fn between(before: &CpuSeconds, after: &CpuSeconds) -> CpuSeconds {
    let used = |(name, after): (&String, &f64)| {
        (name.clone(), after - before.get(name).copied().unwrap_or(0.0))
    };
    after.iter().map(used).collect()
}

fn ticks(pid: u32) -> Ticks {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    parse(&stat).unwrap_or_default()
}

/// The name of the program stands in brackets and may hold spaces and brackets itself.
fn parse(stat: &str) -> Option<Ticks> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11); // the first is field 3, utime is field 14
    let mut next = || fields.next()?.parse::<u64>().ok();
    let [user, system, ended_user, ended_system] = [next()?, next()?, next()?, next()?];
    Some(Ticks { own: user + system, ended_children: ended_user + ended_system })
}

#[allow(clippy::cast_precision_loss, reason = "ticks of a benchmark are few")]
fn seconds(ticks: u64) -> f64 {
    ticks as f64 / rustix::param::clock_ticks_per_second() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_behind_any_name() {
        let stat = "42 (a (b) c) S 1 42 42 0 -1 4194560 1 2 3 4 700 50 30 20 20 0 1 0 100 1 1";
        assert_eq!(parse(stat), Some(Ticks { own: 750, ended_children: 50 }));
        assert_eq!(parse("nonsense"), None);
    }

    #[test]
    fn what_was_used_between_two_looks_is_counted_by_name() {
        let look = |a: f64| CpuSeconds::from([("a".to_owned(), a)]);
        assert!((between(&look(1.5), &look(4.0))["a"] - 2.5).abs() < 1e-9);
        assert!((between(&CpuSeconds::new(), &look(4.0))["a"] - 4.0).abs() < 1e-9);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn work_shows() {
        let own = std::process::id();
        let before = of_process(own);
        let mut sum = 0_u64;
        while of_process(own) < before + 0.02 {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(of_family(own) >= before + 0.02);
        assert!(peak_memory(own) > Some(0));
    }
}
