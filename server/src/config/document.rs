//! A TOML document as sections and items that know where they stand.

use std::{
    collections::BTreeMap,
    ops::{Range, RangeInclusive},
};

use toml::{
    Spanned,
    de::{DeString, DeTable, DeValue},
};

use super::problem::{Report, nearest};

/// One table. Keys are taken out one after the other; what is left at the end is unknown.
pub(super) struct Section<'i> {
    path: String,
    span: Range<usize>,
    entries: Vec<(Spanned<DeString<'i>>, Spanned<DeValue<'i>>)>,
    known: Vec<&'static str>,
}

impl<'i> Section<'i> {
    pub(super) fn root(table: Spanned<DeTable<'i>>) -> Self {
        let span = table.span();
        Self::new(String::new(), span, table.into_inner())
    }

    fn new(path: String, span: Range<usize>, table: DeTable<'i>) -> Self {
        Self { path, span, entries: table.into_iter().collect(), known: Vec::new() }
    }

    /// Takes a key out.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Item<'i>> {
        self.known.push(key);
        let at = self.entries.iter().position(|(name, _)| name.get_ref() == key)?;
        let (_, value) = self.entries.swap_remove(at);
        Some(Item { path: self.join(key), span: value.span(), value: value.into_inner() })
    }

    /// Takes a key out that must be there.
    pub(super) fn require(
        &mut self,
        key: &'static str,
        expected: &str,
        report: &mut Report<'_>,
    ) -> Option<Item<'i>> {
        let item = self.take(key);
        if item.is_none() {
            report.add(&self.span, &self.join(key), format!("missing; expected {expected}"));
        }
        item
    }

    /// Takes a table out; an absent one is empty.
    pub(super) fn section(&mut self, key: &'static str, report: &mut Report<'_>) -> Self {
        let path = self.join(key);
        let Some(item) = self.take(key) else {
            return Self::new(path, self.span.clone(), DeTable::new());
        };
        let span = item.span.clone();
        match item.into_section(report) {
            Some(section) => section,
            None => Self::new(path, span, DeTable::new()),
        }
    }

    /// Takes an array of tables out (`[[key]]`), which are named `key[1]`, `key[2]`, ….
    pub(super) fn sections(&mut self, key: &'static str, report: &mut Report<'_>) -> Vec<Self> {
        let Some(item) = self.take(key) else { return Vec::new() };
        match item.value {
            DeValue::Array(_) => {
                item.elements(report).into_iter().filter_map(|e| e.into_section(report)).collect()
            }
            DeValue::Table(_) => {
                report.add(&item.span, &item.path, format!("expected [[{key}]], found [{key}]"));
                Vec::new()
            }
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => {
                let _: Option<()> = item.mismatch(&format!("tables under [[{key}]]"), report);
                Vec::new()
            }
        }
    }

    /// Whether nothing is in it.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Everything in it by name, each a string.
    pub(super) fn into_strings(self, expected: &str, report: &mut Report<'_>) -> BTreeMap<String, String> {
        let path = self.path.clone();
        let entries = self.entries.into_iter().filter_map(|(name, value)| {
            let name = name.get_ref().to_string();
            let item = Item { path: format!("{path}.{name}"), span: value.span(), value: value.into_inner() };
            Some((name, item.string(expected, report)?))
        });
        entries.collect()
    }

    /// Reports what nobody took out.
    pub(super) fn finish(self, report: &mut Report<'_>) {
        for (name, _) in &self.entries {
            let key = name.get_ref();
            let mut text = String::from("unknown key");
            match nearest(key, &self.known) {
                Some(meant) => text.push_str(&format!(", did you mean `{meant}`?")),
                None => text.push_str(&format!("; expected one of {}", listed(&self.known))),
            }
            report.add(&name.span(), &self.join(key), text);
        }
    }

    fn join(&self, key: &str) -> String {
        match self.path.is_empty() {
            true => key.to_owned(),
            false => format!("{}.{key}", self.path),
        }
    }
}

/// One value.
pub(super) struct Item<'i> {
    pub(super) path: String,
    pub(super) span: Range<usize>,
    value: DeValue<'i>,
}

impl<'i> Item<'i> {
    pub(super) fn string(self, expected: &str, report: &mut Report<'_>) -> Option<String> {
        if let DeValue::String(text) = self.value {
            return Some(text.into_owned());
        }
        self.mismatch(expected, report)
    }

    /// A string that `parse` understands. `parse` returns what is wrong with it.
    pub(super) fn parsed<T>(
        self,
        expected: &str,
        report: &mut Report<'_>,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let (path, span) = (self.path.clone(), self.span.clone());
        let text = self.string(expected, report)?;
        match parse(&text) {
            Ok(value) => Some(value),
            Err(why) if why.is_empty() => {
                report.add(&span, &path, format!("expected {expected}, found {text:?}"));
                None
            }
            Err(why) => {
                report.add(&span, &path, format!("expected {expected}, found {text:?}: {why}"));
                None
            }
        }
    }

    pub(super) fn integer(self, range: RangeInclusive<u64>, report: &mut Report<'_>) -> Option<u64> {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        let DeValue::Integer(number) = &self.value else { return self.mismatch(&expected, report) };
        match u64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) if range.contains(&number) => Some(number),
            _ => {
                report.add(&self.span, &self.path, format!("expected {expected}, found {}", number.as_str()));
                None
            }
        }
    }

    /// A number with or without a decimal point.
    pub(super) fn number(self, range: RangeInclusive<f64>, report: &mut Report<'_>) -> Option<f64> {
        let expected = format!("a number from {} to {}", range.start(), range.end());
        let text = match &self.value {
            DeValue::Float(number) => number.as_str(),
            DeValue::Integer(number) if number.radix() == 10 => number.as_str(),
            DeValue::Integer(_)
            | DeValue::String(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => return self.mismatch(&expected, report),
        };
        match text.parse() {
            Ok(number) if range.contains(&number) => Some(number),
            _ => {
                report.add(&self.span, &self.path, format!("expected {expected}, found {text}"));
                None
            }
        }
    }

    pub(super) fn boolean(self, report: &mut Report<'_>) -> Option<bool> {
        match self.value.as_bool() {
            Some(value) => Some(value),
            None => self.mismatch("true or false", report),
        }
    }

    pub(super) fn is_boolean(&self) -> bool {
        self.value.is_bool()
    }

    /// The elements of an array, named `key[1]`, `key[2]`, ….
    pub(super) fn elements(self, report: &mut Report<'_>) -> Vec<Self> {
        let DeValue::Array(array) = self.value else {
            let _: Option<()> = self.mismatch("an array", report);
            return Vec::new();
        };
        array
            .into_iter()
            .enumerate()
            .map(|(index, value)| Self {
                path: format!("{}[{}]", self.path, index + 1),
                span: value.span(),
                value: value.into_inner(),
            })
            .collect()
    }

    fn into_section(self, report: &mut Report<'_>) -> Option<Section<'i>> {
        if let DeValue::Table(table) = self.value {
            return Some(Section::new(self.path, self.span, table));
        }
        self.mismatch("a table", report)
    }

    fn mismatch<T>(&self, expected: &str, report: &mut Report<'_>) -> Option<T> {
        let found = match self.value.type_str() {
            kind @ ("array" | "integer") => format!("an {kind}"),
            kind => format!("a {kind}"),
        };
        report.add(&self.span, &self.path, format!("expected {expected}, found {found}"));
        None
    }
}

/// `a, b or c`, each in backticks.
pub(super) fn listed(words: &[&str]) -> String {
    match words {
        [] => "nothing".into(),
        [one] => format!("`{one}`"),
        [head @ .., last] => {
            let head: Vec<String> = head.iter().map(|word| format!("`{word}`")).collect();
            format!("{} or `{last}`", head.join(", "))
        }
    }
}
