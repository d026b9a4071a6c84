//! Metrics as text: Prometheus' format 0.0.4, or OpenMetrics 1.0.
//!
//! Not by the `prometheus-client` crate: that keeps metrics as atomics of its own, which each part of a
//! program updates, and writes OpenMetrics only. Here the figures are counted in the workers' pages
//! and read at a scrape, and both formats are asked for. What is left is this file.

use std::fmt::{Display, Write};

use crate::counters::{BOUNDS, Histogram};

/// [`BOUNDS`] in seconds: a histogram is written for each kind of request of each application.
const BOUND_TEXTS: [&str; BOUNDS.len()] = [
    "0.005", "0.01", "0.025", "0.05", "0.075", "0.1", "0.25", "0.5", "0.75", "1.0", "2.5", "5.0",
    "7.5", "10.0",
];

/// How metrics are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' own.
    Prometheus,
    /// OpenMetrics.
    OpenMetrics,
}

/// The type of a family of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only goes up; its name ends in `_total`.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Times in buckets.
    Histogram,
}

/// Labels of a sample, in order; without a value they are left out.
pub type Labels<'a> = [(&'a str, &'a str)];

/// The text while it is written.
#[derive(Debug)]
pub struct Exposition {
    text: String,
    format: Format,
    name: &'static str,
}

impl Format {
    /// The format that an `Accept` field asks for.
    pub fn accepted(accept: &str) -> Self {
        let wanted = accept.split(',').map(str::trim);
        let mut kinds = wanted.map(|kind| kind.split(';').next().unwrap_or_default().trim());
        if kinds.any(|kind| kind.eq_ignore_ascii_case("application/openmetrics-text")) {
            Self::OpenMetrics
        } else {
            Self::Prometheus
        }
    }

    /// Its `content-type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

impl Exposition {
    /// An empty one.
    pub fn new(format: Format) -> Self {
        Self {
            text: String::with_capacity(16 * 1024),
            format,
            name: "",
        }
    }

    /// Begins a family. A counter's name ends in `_total`.
    pub fn family(&mut self, name: &'static str, kind: Kind, help: &str) {
        self.name = name;
        let described = match self.format {
            Format::OpenMetrics => name.strip_suffix("_total").unwrap_or(name),
            Format::Prometheus => name,
        };
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        self.put(format_args!("# HELP {described} {help}\n"));
        self.put(format_args!("# TYPE {described} {kind}\n"));
    }

    /// A sample of the family.
    pub fn sample(&mut self, labels: &Labels<'_>, value: impl Display) {
        let labels = written(labels);
        self.line("", &labels, "", value);
    }

    /// A histogram's samples.
    pub fn histogram(&mut self, labels: &Labels<'_>, histogram: &Histogram) {
        let labels = written(labels);
        let mut below = 0;
        for (bucket, bound) in histogram.buckets.iter().zip(BOUND_TEXTS) {
            below += bucket;
            self.line("_bucket", &labels, bound, below);
        }
        let count = histogram.count();
        self.line("_bucket", &labels, "+Inf", count);
        self.line("_sum", &labels, "", histogram.seconds);
        self.line("_count", &labels, "", count);
    }

    /// The whole text.
    pub fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }

    /// A line; without labels or a bucket's bound these are empty.
    fn line(&mut self, suffix: &str, labels: &str, bound: &str, value: impl Display) {
        let text = &mut self.text;
        text.push_str(self.name);
        text.push_str(suffix);
        if !(labels.is_empty() && bound.is_empty()) {
            text.push('{');
            text.push_str(labels);
            if !bound.is_empty() {
                let separator = if labels.is_empty() { "" } else { "," };
                for part in [separator, "le=\"", bound, "\""] {
                    text.push_str(part);
                }
            }
            text.push('}');
        }
        self.put(format_args!(" {value}\n"));
    }

    fn put(&mut self, what: std::fmt::Arguments<'_>) {
        // A string takes everything.
        let _ = self.text.write_fmt(what);
    }
}

/// Labels as they stand between the braces.
fn written(labels: &Labels<'_>) -> String {
    let mut text = String::new();
    for (label, value) in labels.iter().filter(|(_, value)| !value.is_empty()) {
        let separator = if text.is_empty() { "" } else { "," };
        for part in [separator, label, "=\""] {
            text.push_str(part);
        }
        for c in value.chars() {
            match c {
                '\\' => text.push_str("\\\\"),
                '"' => text.push_str("\\\""),
                '\n' => text.push_str("\\n"),
                c => text.push(c),
            }
        }
        text.push('"');
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn described(format: Format) -> String {
        let mut text = Exposition::new(format);
        text.family("x_total", Kind::Counter, "Things.");
        text.sample(&[("app", "a\"b\\\n"), ("none", "")], 3);
        text.finish()
    }

    #[test]
    fn a_counter_is_described_as_each_format_has_it() {
        let sample = "x_total{app=\"a\\\"b\\\\\\n\"} 3\n";
        assert_eq!(
            described(Format::Prometheus),
            format!("# HELP x_total Things.\n# TYPE x_total counter\n{sample}")
        );
        assert_eq!(
            described(Format::OpenMetrics),
            format!("# HELP x Things.\n# TYPE x counter\n{sample}# EOF\n")
        );
    }

    #[test]
    fn bounds_are_written_as_seconds() {
        for (text, bound) in BOUND_TEXTS.iter().zip(BOUNDS) {
            assert_eq!(*text, format!("{:?}", bound as f64 / 1_000.0));
        }
    }

    #[test]
    fn buckets_hold_all_below_their_bound() {
        let mut times = Histogram::default();
        times.observe(Duration::from_millis(4));
        times.observe(Duration::from_secs(100));
        let mut text = Exposition::new(Format::Prometheus);
        text.family("t", Kind::Histogram, "Times.");
        text.histogram(&[], &times);
        let text = text.finish();
        for line in [
            "t_bucket{le=\"0.005\"} 1\n",
            "t_bucket{le=\"10.0\"} 1\n",
            "t_bucket{le=\"+Inf\"} 2\n",
            "t_sum 100.004\n",
            "t_count 2\n",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }

    #[test]
    fn the_format_is_that_which_is_accepted() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.1";
        assert_eq!(Format::accepted(prometheus), Format::OpenMetrics);
        assert_eq!(Format::accepted("text/plain, */*"), Format::Prometheus);
    }
}
