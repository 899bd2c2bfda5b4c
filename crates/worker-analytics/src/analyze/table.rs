//! Days and what is known of each: what every analysis works on.

use jiff::civil::Date;

use bulrush_catalog::nearest;
use bulrush_statistics::DailySeries;

use super::AnalyzeError;
use super::roles::Role;
use super::words::list;

/// Most days without a value in a row: what misses a year is two histories, whose trend and season nobody can tell apart. Houses that are
/// open for a few weeks a year pass.
const GAP_MAX: i64 = 330;

/// Days, each once and in order, and what is known of each.
#[derive(Debug)]
pub(super) struct Table {
    days: Vec<Date>,
    columns: Vec<Column>,
    notes: Vec<String>,
}

/// A column.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub name: String,
    pub role: Role,
    pub cells: Cells,
}

/// What a column holds, a cell for each day.
#[derive(Debug, Clone)]
pub(super) enum Cells {
    /// Finite numbers.
    Numbers(Vec<Option<f64>>),
    /// Yes or no, as 1 and 0.
    Flags(Vec<Option<f64>>),
    /// Texts.
    Words(Vec<Option<String>>),
}

impl Column {
    /// The numbers of a column of numbers.
    pub fn numbers(&self) -> Option<&[Option<f64>]> {
        match &self.cells {
            Cells::Numbers(values) => Some(values),
            _ => None,
        }
    }

    /// Numbers, flags as 1 and 0; of words of holidays whether there is one.
    pub fn as_numbers(&self) -> Option<Vec<Option<f64>>> {
        match &self.cells {
            // What says nothing of a day says that it is no holiday.
            Cells::Flags(values) if self.role.is_holiday() => {
                Some(values.iter().map(|value| Some(value.unwrap_or(0.0))).collect())
            }
            Cells::Numbers(values) | Cells::Flags(values) => Some(values.clone()),
            Cells::Words(values) if self.role.is_holiday() => {
                Some(values.iter().map(|value| Some(f64::from(u8::from(value.is_some())))).collect())
            }
            Cells::Words(_) => None,
        }
    }

    /// How many cells hold something.
    pub fn known(&self) -> usize {
        match &self.cells {
            Cells::Numbers(values) | Cells::Flags(values) => values.iter().flatten().count(),
            Cells::Words(values) => values.iter().flatten().count(),
        }
    }

    fn first(&self) -> String {
        let first = match &self.cells {
            Cells::Numbers(values) => values.iter().flatten().next().map(f64::to_string),
            Cells::Flags(values) => values.iter().flatten().next().map(|flag| (*flag > 0.5).to_string()),
            Cells::Words(values) => values.iter().flatten().next().map(|word| super::words::shown(word)),
        };
        first.unwrap_or_else(|| "missing".to_owned())
    }

    /// The cells from `from` up to, not including, `to`.
    fn cut(&mut self, from: usize, to: usize) {
        match &mut self.cells {
            Cells::Numbers(values) | Cells::Flags(values) => *values = values[from..to].to_vec(),
            Cells::Words(values) => *values = values[from..to].to_vec(),
        }
    }
}

impl Table {
    /// A table of days that rise, at least one, with a cell for each in every column.
    pub fn new(days: Vec<Date>, columns: Vec<Column>, notes: Vec<String>) -> Self {
        Self { days, columns, notes }
    }

    /// The days that are there.
    pub fn days(&self) -> &[Date] {
        &self.days
    }

    /// The first day.
    pub fn first(&self) -> Date {
        self.days.first().copied().unwrap_or_default()
    }

    /// The last day.
    pub fn last(&self) -> Date {
        self.days.last().copied().unwrap_or_default()
    }

    /// What is to be known of the data.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// All columns.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The columns of figures that hold any.
    pub fn figures(&self) -> impl Iterator<Item = &Column> {
        self.columns
            .iter()
            .filter(|column| column.role == Role::Figure && column.numbers().is_some() && column.known() > 0)
    }

    /// The days from `start` to `end`, where they are given.
    pub fn within(mut self, start: Option<Date>, end: Option<Date>) -> Result<Self, AnalyzeError> {
        let from = start.map_or(0, |start| self.days.partition_point(|day| *day < start));
        let to = end.map_or(self.days.len(), |end| self.days.partition_point(|day| *day <= end));
        if from >= to {
            let (first, last) = (self.first(), self.last());
            let open = |day: Option<Date>, otherwise: Date| day.unwrap_or(otherwise).to_string();
            return Err(AnalyzeError::NoDays { from: open(start, first), to: open(end, last), first, last });
        }
        self.days = self.days[from..to].to_vec();
        for column in &mut self.columns {
            column.cut(from, to);
        }
        Ok(self)
    }

    /// A column by its name.
    pub fn column(&self, what: &'static str, name: &str) -> Result<&Column, AnalyzeError> {
        self.columns.iter().find(|column| column.name == name).ok_or_else(|| AnalyzeError::UnknownColumn {
            what,
            name: name.to_owned(),
            near: nearest(name, self.names()).map(str::to_owned),
            there: list(self.names()),
        })
    }

    /// A column of numbers by its name.
    pub fn numbers(&self, what: &'static str, name: &str) -> Result<(&Column, &[Option<f64>]), AnalyzeError> {
        let column = self.column(what, name)?;
        match column.numbers() {
            Some(numbers) if column.known() > 0 => Ok((column, numbers)),
            _ => Err(AnalyzeError::NotNumbers { what, name: name.to_owned(), value: column.first() }),
        }
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|column| column.name.as_str())
    }

    /// The figure that is meant: the one named, else the first of `usual` that is there, else the only one.
    pub fn target(
        &self,
        named: Option<&str>,
        usual: &[&str],
    ) -> Result<(&Column, &[Option<f64>]), AnalyzeError> {
        if let Some(name) = named {
            return self.numbers("params.target", name);
        }
        let figures: Vec<&Column> = self.figures().collect();
        let found = usual
            .iter()
            .find_map(|usual| figures.iter().find(|figure| figure.name.eq_ignore_ascii_case(usual)));
        match (found, &figures[..]) {
            (Some(column), _) | (None, [column]) => self.numbers("params.target", &column.name),
            (None, []) => Err(AnalyzeError::NoFigures),
            (None, several) => Err(AnalyzeError::WhichTarget {
                there: list(several.iter().map(|column| column.name.as_str())),
            }),
        }
    }

    /// Refuses values that miss a year between two of them.
    pub fn check_gaps(&self, name: &str, is_known: impl Fn(usize) -> bool) -> Result<(), AnalyzeError> {
        let mut known = self.days.iter().enumerate().filter(|(row, _)| is_known(*row)).map(|(_, day)| *day);
        let Some(mut before) = known.next() else { return Ok(()) };
        for day in known {
            let missing = days_between(before, day) - 1;
            if missing > GAP_MAX {
                let from = before.tomorrow().unwrap_or(before);
                let to = day.yesterday().unwrap_or(day);
                let name = name.to_owned();
                return Err(AnalyzeError::Gap { name, from, to, days: missing, most: GAP_MAX });
            }
            before = day;
        }
        Ok(())
    }

    /// Where each day stands: days since the first.
    pub fn positions(&self) -> Vec<i64> {
        self.days.iter().map(|day| days_between(self.first(), *day)).collect()
    }

    /// A column's figures by consecutive days, from its first to its last.
    pub fn series(&self, name: &str, numbers: &[Option<f64>]) -> Result<DailySeries, AnalyzeError> {
        let known: Vec<(Date, f64)> =
            self.days.iter().zip(numbers).filter_map(|(day, value)| Some((*day, (*value)?))).collect();
        let first = known.first().map_or_else(|| self.first(), |(day, _)| *day);
        let last = known.last().map_or(first, |(day, _)| *day);
        let mut values = vec![None; usize::try_from(days_between(first, last) + 1).unwrap_or(0)];
        for (day, value) in known {
            if let Some(cell) =
                usize::try_from(days_between(first, day)).ok().and_then(|place| values.get_mut(place))
            {
                *cell = Some(value);
            }
        }
        Ok(DailySeries::new(name, first, values)?)
    }
}

/// Days from one to the other.
pub(super) fn days_between(from: Date, to: Date) -> i64 {
    from.until(to).map_or(0, |span| i64::from(span.get_days()))
}
