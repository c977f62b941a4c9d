//! The little arithmetic that a table needs.

/// The middle value; of an even number, the mean of the two in the middle. 0 of nothing.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match (sorted.len() % 2, sorted.get(middle)) {
        (_, None) => 0.0,
        (1, Some(value)) => *value,
        (_, Some(value)) => f64::midpoint(sorted[middle - 1], *value),
    }
}

/// A figure as a multiple of its baseline.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Ratio {
    /// The ratio of the medians.
    pub(crate) median: f64,
    /// The smallest ratio of any round.
    pub(crate) min: f64,
    /// The largest.
    pub(crate) max: f64,
}

/// Compares rounds: what was measured in the same round stands at the same place.
pub(crate) fn ratio(figures: &[f64], baselines: &[f64]) -> Ratio {
    let rounds = || figures.iter().zip(baselines).map(|(figure, baseline)| figure / baseline);
    Ratio {
        median: median(figures) / median(baselines),
        min: rounds().fold(f64::INFINITY, f64::min),
        max: rounds().fold(f64::NEG_INFINITY, f64::max),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle_whatever_the_order() {
        assert!((median(&[3.0, 1.0, 100.0]) - 3.0).abs() < 1e-9);
        assert!((median(&[4.0, 1.0, 2.0, 100.0]) - 3.0).abs() < 1e-9);
        assert!(median(&[]).abs() < 1e-9);
    }

    #[test]
    fn a_ratio_is_of_medians_and_its_limits_are_of_rounds() {
        let ratio = ratio(&[10.0, 30.0, 20.0], &[5.0, 10.0, 20.0]);
        assert!((ratio.median - 2.0).abs() < 1e-9);
        assert!((ratio.min - 1.0).abs() < 1e-9);
        assert!((ratio.max - 3.0).abs() < 1e-9);
    }
}
