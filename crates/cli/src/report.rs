//! A report as one HTML file that needs nothing else: facts, warnings, tables and plots. Plain data in, a page out; what the
//! numbers mean is for the commands that ask for it, how a section looks is in the files beside this one.

mod bars;
mod chart;
mod deltas;
mod histogram;
mod lines;
mod page;
mod reliability;
mod scale;
mod table;
#[cfg(test)]
mod tests;
mod text;

pub(crate) use bars::{Bars, Estimate, Group};
pub(crate) use deltas::{Deltas, QueryDelta};
pub(crate) use histogram::{Histogram, Mark, SizeBin};
pub(crate) use lines::{Axis, Lines, Point, Series};
pub(crate) use reliability::{Bin, Reliability};
pub(crate) use table::{Cell, Column, Kind, Row, Table};

/// Everything that one page says.
#[derive(Debug, Clone, Default)]
pub(crate) struct Report {
    pub(crate) title: String,
    pub(crate) subtitle: String,
    /// What the numbers rest on, each with its name: data, split, seeds, versions, machine, command.
    pub(crate) facts: Vec<(String, String)>,
    /// What the reader has to know before believing the numbers.
    pub(crate) warnings: Vec<String>,
    pub(crate) sections: Vec<Section>,
}

/// One part of the page, below its own heading.
#[derive(Debug, Clone)]
pub(crate) enum Section {
    Text(Text),
    Verdict(Verdict),
    Figures(Figures),
    Table(Table),
    Bars(Bars),
    Histogram(Histogram),
    Lines(Lines),
    Deltas(Deltas),
    Reliability(Reliability),
}

/// Words.
#[derive(Debug, Clone, Default)]
pub(crate) struct Text {
    pub(crate) heading: String,
    pub(crate) paragraphs: Vec<String>,
}

/// What a gate decided, and why.
#[derive(Debug, Clone)]
pub(crate) struct Verdict {
    /// The decision in a few words.
    pub(crate) heading: String,
    /// Whether the change is taken.
    pub(crate) accepted: bool,
    pub(crate) reasons: Vec<String>,
}

/// A few numbers that stand out.
#[derive(Debug, Clone, Default)]
pub(crate) struct Figures {
    pub(crate) heading: String,
    pub(crate) figures: Vec<Figure>,
}

/// One number that stands out, already written as it is to be read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) value: String,
    /// What it is measured against, or how sure it is.
    pub(crate) note: String,
}

impl Report {
    /// Writes the page: UTF-8 HTML that loads nothing and shows all plots without a script.
    pub(crate) fn render(&self) -> String {
        page::render(self)
    }
}

impl Section {
    fn heading(&self) -> &str {
        match self {
            Self::Text(section) => &section.heading,
            Self::Verdict(section) => &section.heading,
            Self::Figures(section) => &section.heading,
            Self::Table(section) => &section.heading,
            Self::Bars(section) => &section.heading,
            Self::Histogram(section) => &section.heading,
            Self::Lines(section) => &section.heading,
            Self::Deltas(section) => &section.heading,
            Self::Reliability(section) => &section.heading,
        }
    }

    /// Whether two of its kind stand side by side where there is room.
    fn is_narrow(&self) -> bool {
        matches!(self, Self::Bars(_) | Self::Histogram(_) | Self::Lines(_) | Self::Reliability(_))
    }
}
