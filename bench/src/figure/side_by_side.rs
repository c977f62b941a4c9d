//! Figures that are made of series alone.

use crate::{
    row::{Row, Values},
    sample::{Sample, Samples},
    series::{CALLERS, Series, Subject},
};

/// Callers where a figure is about the highest throughput.
const MANY: u32 = 256;
/// Callers where a figure is about a service with something to do, but not at its limit.
const SOME: u32 = 64;

/// Commands under way on a stream.
const OUTSTANDING: [u32; 2] = [256, 1024];

/// Which series the figure is made of.
pub(super) fn needs(name: &str) -> Vec<Series> {
    use Subject::{
        BatchGetBalances, Classic, ClassicHot, ClassicStatement, CqrsEs, Deposit, DepositHot,
        GetBalance, Insert, InsertNotify, NoopBalance, NoopDeposit, ReadOwnWrite, Redis, Stream,
        Transfer,
    };
    match name {
        "write_unary" => best(&[Deposit, Insert]),
        "write_unary_64" | "write_p99" => at(SOME, &[Deposit, Insert]),
        "write_vs_classic" => best(&[Deposit, Classic]),
        "write_vs_classic_statement" => best(&[Deposit, ClassicStatement]),
        "write_hot" => at(MANY, &[DepositHot, ClassicHot]),
        "write_vs_notify" => best(&[Deposit, InsertNotify]),
        "write_vs_cqrs_es" => best(&[Deposit, CqrsEs]),
        "write_latency" => at(1, &[Deposit, Insert, NoopDeposit]),
        "write_stream" => OUTSTANDING
            .iter()
            .flat_map(|many| at(*many, &[Stream]))
            .chain(best(&[Insert]))
            .collect(),
        // Beside it, in the second table, what calls alone cost.
        "write_cpu" => at(MANY, &[Deposit, NoopDeposit]),
        "transfer" => at(MANY, &[Deposit, Transfer]),
        "read" | "read_p99" => at(SOME, &[GetBalance, NoopBalance]),
        "read_batch" => at(SOME, &[GetBalance, BatchGetBalances]),
        "read_vs_row" => at(SOME, &[GetBalance, Subject::Row]),
        "read_vs_redis" => at(SOME, &[GetBalance, Redis]),
        "read_own_write" => at(1, &[Deposit, GetBalance, ReadOwnWrite]),
        _ => Vec::new(),
    }
}

fn at(callers: u32, subjects: &[Subject]) -> Vec<Series> {
    subjects.iter().map(|subject| Series { callers, subject: *subject }).collect()
}

fn best(subjects: &[Subject]) -> Vec<Series> {
    CALLERS.iter().flat_map(|callers| at(*callers, subjects)).collect()
}

/// The figure's row.
pub(super) fn row(name: &str, samples: &Samples) -> Option<Row> {
    use Subject::{
        BatchGetBalances, Classic, ClassicHot, ClassicStatement, CqrsEs, Deposit, DepositHot,
        GetBalance, Insert, InsertNotify, NoopBalance, Redis, Stream, Transfer,
    };
    let s = Of(samples);
    Some(match name {
        "write_unary" => Row::beside("write_unary", s.best(Deposit), s.best(Insert)),
        "write_unary_64" => {
            Row::beside("write_unary_64", s.rate(Deposit, SOME), s.rate(Insert, SOME))
        }
        "write_vs_classic" => Row::beside("write_vs_classic", s.best(Deposit), s.best(Classic)),
        "write_vs_classic_statement" => {
            let name = "write_vs_classic_statement";
            Row::beside(name, s.best(Deposit), s.best(ClassicStatement))
        }
        "write_hot" => Row::beside("write_hot", s.rate(DepositHot, MANY), s.rate(ClassicHot, MANY)),
        "write_vs_notify" => Row::beside("write_vs_notify", s.best(Deposit), s.best(InsertNotify)),
        "write_vs_cqrs_es" => Row::beside("write_vs_cqrs_es", s.best(Deposit), s.best(CqrsEs)),
        "write_latency" => s.write_latency(),
        "write_p99" => Row::beside("write_p99", s.p99(Deposit, SOME), s.p99(Insert, SOME)),
        "write_stream" => Row::beside("write_stream", s.best(Stream), s.best(Insert)),
        "write_cpu" => Row::alone("write_cpu", s.write_cpu()),
        "transfer" => Row::beside("transfer", s.rate(Transfer, MANY), s.rate(Deposit, MANY)),
        "read" => Row::beside("read", s.rate(GetBalance, SOME), s.rate(NoopBalance, SOME)),
        "read_p99" => Row::beside("read_p99", s.p99(GetBalance, SOME), s.p99(NoopBalance, SOME)),
        "read_batch" => {
            Row::beside("read_batch", s.rate(BatchGetBalances, SOME), s.rate(GetBalance, SOME))
        }
        "read_vs_row" => {
            Row::beside("read_vs_row", s.rate(GetBalance, SOME), s.rate(Subject::Row, SOME))
        }
        "read_vs_redis" => {
            Row::beside("read_vs_redis", s.rate(GetBalance, SOME), s.rate(Redis, SOME))
        }
        "read_own_write" => s.read_own_write(),
        _ => return None,
    })
}

/// Values of samples.
struct Of<'a>(&'a Samples);

impl Of<'_> {
    fn rate(&self, subject: Subject, callers: u32) -> Values {
        Values::new(what(subject, callers), "/s", self.0.rates(subject, callers))
    }

    fn best(&self, subject: Subject) -> Values {
        let (callers, rates) = self.0.best(subject);
        Values::new(what(subject, callers), "/s", rates)
    }

    fn p50(&self, subject: Subject, callers: u32) -> Vec<f64> {
        self.0.each(subject, callers, |sample| sample.latency.p50)
    }

    fn p99(&self, subject: Subject, callers: u32) -> Values {
        let rounds = self.0.each(subject, callers, |sample| sample.latency.p99);
        Values::new(format!("p99 of {}", what(subject, callers)), "ms", rounds)
    }

    fn write_latency(&self) -> Row {
        let limit = sums(&self.p50(Subject::NoopDeposit, 1), &self.p50(Subject::Insert, 1));
        let figure = Values::new("p50 of deposit, 1", "ms", self.p50(Subject::Deposit, 1));
        let baseline = Values::new("p50 of noop + p50 of insert, 1", "ms", limit);
        Row::beside("write_latency", figure, baseline)
    }

    fn write_cpu(&self) -> Values {
        let rounds = self.0.each(Subject::Deposit, MANY, Sample::cpu_of_everything);
        Values::new("CPU of everything per million deposits, load generator included", "s", rounds)
    }

    fn read_own_write(&self) -> Row {
        let alone = sums(&self.p50(Subject::Deposit, 1), &self.p50(Subject::GetBalance, 1));
        let pair = self.p50(Subject::ReadOwnWrite, 1);
        let figure = Values::new("p50 of deposit, then balance with its token", "ms", pair);
        let baseline = Values::new("p50 of deposit + p50 of get_balance, 1", "ms", alone);
        Row::beside("read_own_write", figure, baseline)
    }
}

fn what(subject: Subject, callers: u32) -> String {
    format!("{}, {callers}", subject.name())
}

/// Round by round.
pub(super) fn sums(one: &[f64], other: &[f64]) -> Vec<f64> {
    one.iter().zip(other).map(|(one, other)| one + other).collect()
}
