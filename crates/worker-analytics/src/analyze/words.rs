//! Figures in sentences.

/// A figure with four digits that matter.
pub(super) fn figure(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return "0".to_owned();
    }
    let size = value.abs().log10().floor();
    if !(-4.0..9.0).contains(&size) {
        return format!("{value:.3e}");
    }
    let digits = (3.0 - size).clamp(0.0, 8.0) as usize;
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// A share as a percentage.
pub(super) fn percent(share: f64) -> String {
    format!("{} %", figure((share * 1_000.0).round() / 10.0))
}

/// How likely something is by chance.
pub(super) fn chance(p: f64) -> String {
    if p < 0.001 { "p < 0.001".to_owned() } else { format!("p = {p:.3}") }
}

/// A few names, and how many more there are.
pub(super) fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    const SHOWN: usize = 20;
    let names: Vec<&str> = names.into_iter().collect();
    let text = names[..names.len().min(SHOWN)].join(", ");
    if names.len() > SHOWN { format!("{text} and {} more", names.len() - SHOWN) } else { text }
}

/// A name or text of the client's, as it may stand in a message: quoted, and not longer than one can read.
pub(super) fn shown(text: &str) -> String {
    let cut: String = text.chars().take(64).collect();
    if cut.len() < text.len() { format!("{cut:?}…") } else { format!("{cut:?}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short_and_keep_what_matters() {
        for (value, text) in [
            (0.0, "0"),
            (129.0, "129"),
            (12.345_678, "12.35"),
            (-0.012_345, "-0.01235"),
            (123_456.7, "123457"),
            (1e12, "1.000e12"),
            (0.000_001, "1.000e-6"),
            (f64::NAN, "0"),
        ] {
            assert_eq!(figure(value), text);
        }
        assert_eq!(
            (percent(0.1234), chance(0.0004), chance(0.04)),
            ("12.3 %".into(), "p < 0.001".into(), "p = 0.040".into())
        );
        assert_eq!(shown("a\u{1b}b"), "\"a\\u{1b}b\"");
    }
}
