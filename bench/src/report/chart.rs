//! One chart with lines.

use std::path::Path;

use anyhow::anyhow;
use plotters::prelude::*;

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

/// How a number becomes a place on an axis, and how a place is written.
#[derive(Clone, Copy)]
pub(super) struct Axis {
    pub(super) label: &'static str,
    pub(super) place: fn(f64) -> f64,
    pub(super) text: fn(f64) -> String,
    /// Whether the axis begins at 0.
    pub(super) from_zero: bool,
}

/// Lines with names.
pub(super) struct Chart {
    pub(super) title: String,
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) lines: Vec<(String, Vec<(f64, f64)>)>,
}

impl Chart {
    /// Draws it, unless there is nothing to draw.
    pub(super) fn draw(&self, file: &Path) -> anyhow::Result<()> {
        let placed: Vec<(&str, Vec<(f64, f64)>)> = self
            .lines
            .iter()
            .map(|(name, points)| {
                let place = |(x, y): &(f64, f64)| ((self.x.place)(*x), (self.y.place)(*y));
                (name.as_str(), points.iter().map(place).collect())
            })
            .filter(|(_, points): &(_, Vec<_>)| !points.is_empty())
            .collect();
        if placed.is_empty() {
            return Ok(());
        }
        let all = || placed.iter().flat_map(|(_, points)| points);
        let x = range(all().map(|point| point.0), self.x.from_zero, 0.02);
        let y = range(all().map(|point| point.1), self.y.from_zero, 0.08);
        self.draw_lines(file, &placed, x, y).map_err(|error| anyhow!("{}: {error}", file.display()))
    }

    fn draw_lines(
        &self,
        file: &Path,
        lines: &[(&str, Vec<(f64, f64)>)],
        x: std::ops::Range<f64>,
        y: std::ops::Range<f64>,
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
            .x_label_formatter(&|place| (self.x.text)(*place))
            .y_label_formatter(&|place| (self.y.text)(*place))
            .label_style(("sans-serif", 14))
            .light_line_style(WHITE)
            .draw()?;
        for ((name, points), colour) in lines.iter().zip(COLOURS.iter().cycle()) {
            let style = colour.stroke_width(2);
            chart
                .draw_series(LineSeries::new(points.iter().copied(), style).point_size(3))?
                .label(*name)
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

/// From the least to the greatest, with some room.
fn range(values: impl Iterator<Item = f64>, from_zero: bool, room: f64) -> std::ops::Range<f64> {
    let (least, greatest) = values
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(least, greatest), value| {
            (least.min(value), greatest.max(value))
        });
    let least = if from_zero { least.min(0.0) } else { least };
    let width = (greatest - least).max(1e-9);
    let below = if from_zero { least } else { least - width * room };
    below..greatest + width * room
}
