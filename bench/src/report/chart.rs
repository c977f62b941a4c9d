//! One chart with lines.

use std::path::Path;

use anyhow::anyhow;
use plotters::{
    coord::ranged1d::{KeyPointHint, NoDefaultFormatting, ValueFormatter},
    prelude::*,
};

const SIZE: (u32, u32) = (900, 540);
/// Distinct also for those who see few colours, and on paper.
const COLOURS: [RGBColor; 8] = [
    RGBColor(0, 90, 170),
    RGBColor(213, 94, 0),
    RGBColor(0, 140, 100),
    RGBColor(190, 60, 140),
    RGBColor(90, 90, 90),
    RGBColor(200, 150, 0),
    RGBColor(80, 170, 220),
    RGBColor(120, 60, 20),
];

/// What an axis counts, and how.
#[derive(Clone, Copy)]
pub(super) struct Axis {
    pub(super) label: &'static str,
    pub(super) scale: Scale,
}

/// Where a number stands on an axis.
#[derive(Clone, Copy)]
pub(super) enum Scale {
    /// From 0.
    Linear,
    /// A factor is a distance.
    Logarithmic,
    /// Percentiles, with 99, 99.9 and 99.99 at even distances.
    Nines,
}

impl Scale {
    fn place(self, number: f64) -> f64 {
        match self {
            Self::Linear => number,
            Self::Logarithmic => number.max(0.001).log10(),
            Self::Nines => -(1.0 - number / 100.0).log10(),
        }
    }

    /// Numbers that the axis names.
    fn marks(self, least: f64, greatest: f64) -> Vec<f64> {
        match self {
            Self::Linear => {
                let step = round_step((greatest - least) / 8.0);
                (0..=20).map(|count| f64::from(count) * step).collect()
            }
            Self::Logarithmic => {
                let decades = (-3..=7).map(|power| 10_f64.powi(power));
                decades.flat_map(|decade| [decade, 2.0 * decade, 5.0 * decade]).collect()
            }
            Self::Nines => vec![0.0, 50.0, 90.0, 99.0, 99.9, 99.99],
        }
    }
}

/// The next of 1, 2, 5, 10, 20 ...
fn round_step(step: f64) -> f64 {
    let decade = 10_f64.powf(step.max(1e-6).log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * decade >= step);
    factor.unwrap_or(10.0) * decade
}

/// Lines with names.
pub(super) struct Chart {
    pub(super) title: String,
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) lines: Vec<Line>,
}

/// A name and points.
pub(super) type Line = (String, Vec<(f64, f64)>);

impl Chart {
    /// Draws it, unless there is nothing to draw.
    pub(super) fn draw(&self, file: &Path) -> anyhow::Result<()> {
        let lines: Vec<_> = self.lines.iter().filter(|(_, points)| !points.is_empty()).collect();
        if lines.is_empty() {
            return Ok(());
        }
        let points = || lines.iter().flat_map(|(_, points)| points);
        let x = Places::new(self.x.scale, points().map(|point| point.0), 0.02);
        // The names of lines stand above them.
        let room = 0.06 + 0.06 * f64::from(u32::try_from(lines.len()).unwrap_or(0));
        let y = Places::new(self.y.scale, points().map(|point| point.1), room);
        self.draw_lines(file, &lines, x, y).map_err(|error| anyhow!("{}: {error}", file.display()))
    }

    fn draw_lines(
        &self,
        file: &Path,
        lines: &[&Line],
        x: Places,
        y: Places,
    ) -> Result<(), Box<dyn std::error::Error>> {
        let root = SVGBackend::new(file, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&root)
            .caption(&self.title, ("sans-serif", 20))
            .margin(16)
            .x_label_area_size(48)
            .y_label_area_size(80)
            .build_cartesian_2d(x, y)?;
        chart
            .configure_mesh()
            .x_desc(self.x.label)
            .y_desc(self.y.label)
            .label_style(("sans-serif", 14))
            .light_line_style(WHITE)
            .draw()?;
        for ((name, points), colour) in lines.iter().zip(COLOURS.iter().cycle()) {
            let style = colour.stroke_width(2);
            chart
                .draw_series(LineSeries::new(points.iter().copied(), style).point_size(3))?
                .label(name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE.mix(0.8))
            .border_style(RGBColor(200, 200, 200))
            .label_font(("sans-serif", 14))
            .draw()?;
        root.present()?;
        Ok(())
    }
}

/// A part of an axis, as plotters asks for it.
struct Places {
    scale: Scale,
    /// Ends, as places.
    from: f64,
    to: f64,
    /// Numbers that are named.
    marks: Vec<f64>,
}

impl Places {
    /// From the least to the greatest number, with some room above.
    fn new(scale: Scale, numbers: impl Iterator<Item = f64>, room: f64) -> Self {
        let (least, greatest) = numbers
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(least, greatest), number| {
                (least.min(number), greatest.max(number))
            });
        let least = if matches!(scale, Scale::Linear) { 0.0 } else { least };
        let width = (scale.place(greatest) - scale.place(least)).max(1e-9);
        let below = if matches!(scale, Scale::Linear) { 0.0 } else { width * 0.04 };
        let (from, to) = (scale.place(least) - below, scale.place(greatest) + width * room);
        let marks = scale.marks(least, greatest).into_iter();
        let marks = marks.filter(|number| (from..=to).contains(&scale.place(*number))).collect();
        Self { scale, from, to, marks }
    }
}

impl Ranged for Places {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, number: &f64, (from, to): (i32, i32)) -> i32 {
        let share = (self.scale.place(*number) - self.from) / (self.to - self.from);
        #[allow(clippy::cast_possible_truncation, reason = "pixels are few, and it saturates")]
        let pixels = (share * f64::from(to - from)).round() as i32;
        from + pixels
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.marks.clone()
    }

    /// Nothing that is drawn asks for it.
    fn range(&self) -> std::ops::Range<f64> {
        self.from..self.to
    }
}

impl ValueFormatter<f64> for Places {
    fn format_ext(&self, number: &f64) -> String {
        written(*number)
    }
}

/// Without digits that say nothing.
fn written(number: f64) -> String {
    if number >= 1000.0 {
        return super::table::number(number);
    }
    let text = format!("{number:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(scale: Scale, numbers: [f64; 2]) -> Vec<String> {
        Places::new(scale, numbers.into_iter(), 0.1).marks.into_iter().map(written).collect()
    }

    #[test]
    fn axes_name_round_numbers() {
        assert_eq!(marks(Scale::Linear, [30.0, 90.0]), ["0", "20", "40", "60", "80"]);
        assert_eq!(marks(Scale::Logarithmic, [0.4, 12.0]), ["0.5", "1", "2", "5", "10"]);
        assert_eq!(marks(Scale::Nines, [0.0, 99.9]), ["0", "50", "90", "99", "99.9"]);
    }
}
