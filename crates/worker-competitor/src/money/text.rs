//! Prices as people write them: `1.234,56 €`, `$1,234.56`, `CHF 1'234.-`, `from 99`, `ab 99,– EUR`, `1 234,50 €`.
//!
//! What could be read in two ways is read by a rule that stands here, or not at all: a price that is a thousand times too high
//! does more harm than none.

use super::{Currency, UNITS_MAX, micros};

/// Longest text in which a price is looked for, in characters; more is no price but a page.
const TEXT_MAX: usize = 300;

/// Why a text is no price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PriceTextError {
    #[error("it holds no number")]
    NoNumber,
    #[error("it holds several numbers, and none stands beside a currency")]
    Ambiguous,
    #[error("its number is not written as a price is")]
    Number,
    #[error("it is not more than nothing")]
    NotPositive,
    #[error("it is too long")]
    TooLong,
}

/// Finds the price in a text, in millionths, and its currency if the text names one. `hint` is the currency that is expected:
/// it decides what `$`, `kr` and `¥` mean.
pub(crate) fn parse_price(
    text: &str,
    hint: Option<Currency>,
) -> Result<(i64, Option<Currency>), PriceTextError> {
    let chars: Vec<char> = text.trim().chars().take(TEXT_MAX + 1).map(plain).collect();
    if chars.len() > TEXT_MAX {
        return Err(PriceTextError::TooLong);
    }
    let marks = marks(&chars, hint);
    let numbers = numbers(&chars);
    let beside = |number: &Span| {
        let touching = marks.iter().filter(|mark| {
            let gap = if mark.span.1 <= number.0 { (mark.span.1, number.0) } else { (number.1, mark.span.0) };
            gap.0 <= gap.1 && chars.get(gap.0..gap.1).is_some_and(is_gap)
        });
        // A sign says more than a word that may be a code: "ALL 99 €".
        touching.min_by_key(|mark| mark.is_word)
    };
    let (mut chosen, mark) = match numbers.iter().find_map(|number| Some((*number, beside(number)?))) {
        Some((number, mark)) => (number, Some(mark)),
        None => match numbers.as_slice() {
            [] => return Err(PriceTextError::NoNumber),
            [number] => (*number, marks.first()),
            _ => return Err(PriceTextError::Ambiguous),
        },
    };
    // "99 – 199 €" begins at 99.
    if let Some(first) = numbers.iter().rfind(|first| {
        first.1 <= chosen.0
            && chars
                .get(first.1..chosen.0)
                .is_some_and(|gap| gap.contains(&'-') && gap.iter().all(|c| matches!(c, '-' | ' ')))
    }) {
        chosen = *first;
    }
    let before = chosen.0.checked_sub(1).and_then(|at| chars.get(at));
    let before_that = chosen.0.checked_sub(2).and_then(|at| chars.get(at));
    if before == Some(&'-') && before_that.is_none_or(|c| *c == ' ') {
        return Err(PriceTextError::NotPositive);
    }
    let currency = mark.map(|mark| mark.currency);
    let digits: String = chars.get(chosen.0..chosen.1).unwrap_or_default().iter().collect();
    let three = currency.or(hint).is_some_and(Currency::has_three_decimals);
    Ok((amount(&digits, three)?, currency))
}

/// Where something begins and where it has ended.
type Span = (usize, usize);

struct Mark {
    span: Span,
    currency: Currency,
    /// A code or an abbreviation, which could be a word.
    is_word: bool,
}

/// One spelling for all kinds of spaces, dashes, apostrophes and digits.
fn plain(c: char) -> char {
    match c {
        '\u{a0}' | '\u{202f}' | '\u{2009}' | '\u{2007}' | '\u{2008}' | '\u{3000}' | '\t' | '\n' | '\r' => ' ',
        '’' | '‘' | 'ʼ' | '′' | '´' | '`' | '＇' | '٬' => '\'',
        '–' | '—' | '−' | '‒' | '‐' | '‑' => '-',
        '，' => ',',
        '．' | '٫' => '.',
        '＄' => '$',
        '￥' => '¥',
        '０'..='９' => from_zero(c, '０'),
        '٠'..='٩' => from_zero(c, '٠'),
        '۰'..='۹' => from_zero(c, '۰'),
        c => c,
    }
}

fn from_zero(c: char, zero: char) -> char {
    char::from_digit(u32::from(c).wrapping_sub(u32::from(zero)), 10).unwrap_or(c)
}

/// What may stand between an amount and its currency.
fn is_gap(gap: &[char]) -> bool {
    gap.len() <= 6 && gap.iter().all(|c| matches!(c, ' ' | '.' | ',' | '-' | ':' | '*'))
}

/// Numbers that can be amounts: no percentages, no parts of words.
fn numbers(chars: &[char]) -> Vec<Span> {
    let digit = |at: usize| chars.get(at).is_some_and(char::is_ascii_digit);
    let mut found = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        if !digit(at) {
            at += 1;
            continue;
        }
        let start = at;
        while digit(at) {
            at += 1;
            let joins = match chars.get(at) {
                Some('.' | ',' | '\'') => digit(at + 1),
                // A space joins whole groups of three only: "1 234", not "2 10".
                Some(' ') => {
                    (1..=3).all(|n| digit(at + n)) && !digit(at + 4) && leads_group(chars, start, at)
                }
                _ => false,
            };
            if joins {
                at += 1;
            }
        }
        let next = (at..chars.len()).find(|at| chars.get(*at) != Some(&' ')).and_then(|at| chars.get(at));
        let within_word = start
            .checked_sub(1)
            .and_then(|at| chars.get(at))
            .is_some_and(|c| c.is_alphabetic() && !ends_with_code(chars, start));
        if next != Some(&'%') && !within_word {
            found.push((start, at));
        }
    }
    found
}

/// Whether the digits from `start` to `at` can stand before a space and a group of three: one to three digits, or groups.
fn leads_group(chars: &[char], start: usize, at: usize) -> bool {
    let digits = chars.get(start..at).unwrap_or_default();
    let last = digits.rsplit(|c| *c == ' ').next().unwrap_or_default();
    let is_first = last.len() == digits.len();
    last.iter().all(char::is_ascii_digit)
        && if is_first { (1..=3).contains(&last.len()) } else { last.len() == 3 }
}

/// Whether letters directly before a number are a currency: "EUR99", "kr99", "US$99" (which ends in no letter).
fn ends_with_code(chars: &[char], end: usize) -> bool {
    let start = (0..end).rev().take_while(|at| chars.get(*at).is_some_and(|c| c.is_alphabetic())).last();
    let word: String = chars.get(start.unwrap_or(end)..end).unwrap_or_default().iter().collect();
    (word.len() == 3 && word.chars().all(|c| c.is_ascii_uppercase()) && word.parse::<Currency>().is_ok())
        || ABBREVIATIONS.iter().any(|(text, _)| *text == word)
}

const fn code(code: [u8; 3]) -> Currency {
    Currency::known(code)
}

/// Signs that stand for one currency, the longer ones first.
const SIGNS: &[(&str, Currency)] = &[
    ("US$", code(*b"USD")),
    ("CA$", code(*b"CAD")),
    ("AU$", code(*b"AUD")),
    ("NZ$", code(*b"NZD")),
    ("HK$", code(*b"HKD")),
    ("NT$", code(*b"TWD")),
    ("MX$", code(*b"MXN")),
    ("R$", code(*b"BRL")),
    ("C$", code(*b"CAD")),
    ("A$", code(*b"AUD")),
    ("S$", code(*b"SGD")),
    ("€", code(*b"EUR")),
    ("£", code(*b"GBP")),
    ("₹", code(*b"INR")),
    ("₩", code(*b"KRW")),
    ("₪", code(*b"ILS")),
    ("₺", code(*b"TRY")),
    ("₽", code(*b"RUB")),
    ("฿", code(*b"THB")),
    ("₫", code(*b"VND")),
    ("₱", code(*b"PHP")),
    ("₴", code(*b"UAH")),
    ("₸", code(*b"KZT")),
    ("₦", code(*b"NGN")),
];

/// Words that stand for one currency.
const ABBREVIATIONS: &[(&str, Currency)] = &[
    ("SFr", code(*b"CHF")),
    ("Fr", code(*b"CHF")),
    ("zł", code(*b"PLN")),
    ("Kč", code(*b"CZK")),
    ("Ft", code(*b"HUF")),
    ("lei", code(*b"RON")),
    ("лв", code(*b"BGN")),
    ("Rs", code(*b"INR")),
    ("RM", code(*b"MYR")),
    ("Rp", code(*b"IDR")),
    ("руб", code(*b"RUB")),
    ("euro", code(*b"EUR")),
    ("euros", code(*b"EUR")),
    ("Euro", code(*b"EUR")),
];

type Code = &'static [u8; 3];

/// Signs of several currencies: the ones they may mean, and the one they mean where nothing else is expected.
const SHARED: &[(&str, &[Code], Option<Code>)] = &[
    (
        "$",
        &[b"USD", b"CAD", b"AUD", b"NZD", b"HKD", b"SGD", b"TWD", b"MXN", b"ARS", b"CLP", b"COP"],
        Some(b"USD"),
    ),
    ("¥", &[b"JPY", b"CNY"], Some(b"JPY")),
    ("kr", &[b"SEK", b"NOK", b"DKK", b"ISK"], None),
    ("Kr", &[b"SEK", b"NOK", b"DKK", b"ISK"], None),
];

fn marks(chars: &[char], hint: Option<Currency>) -> Vec<Mark> {
    let mut found: Vec<Mark> = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        match mark_at(chars, at, hint) {
            Some(mark) => {
                at = mark.span.1;
                found.push(mark);
            }
            None => at += 1,
        }
    }
    found
}

fn mark_at(chars: &[char], at: usize, hint: Option<Currency>) -> Option<Mark> {
    let starts = |text: &str| {
        let length = text.chars().count();
        chars.get(at..at + length).is_some_and(|seen| seen.iter().copied().eq(text.chars())).then_some(length)
    };
    let is_letter = |at: Option<usize>| at.and_then(|at| chars.get(at)).is_some_and(|c| c.is_alphabetic());
    let stands_alone = |length: usize| !is_letter(at.checked_sub(1)) && !is_letter(Some(at + length));
    let mark = |length, currency, is_word| Mark { span: (at, at + length), currency, is_word };
    for (text, currency) in SIGNS {
        if let Some(length) = starts(text) {
            return Some(mark(length, *currency, false));
        }
    }
    for (text, meant, default) in SHARED {
        let Some(length) = starts(text) else { continue };
        let is_word = text.chars().all(char::is_alphabetic);
        if is_word && !stands_alone(length) {
            continue;
        }
        let expected = hint.filter(|hint| meant.iter().any(|code| hint.as_str().as_bytes() == *code));
        if let Some(currency) = expected.or(default.map(|code| Currency::known(*code))) {
            return Some(mark(length, currency, is_word));
        }
    }
    for (text, currency) in ABBREVIATIONS {
        if let Some(length) = starts(text).filter(|length| stands_alone(*length)) {
            return Some(mark(length, *currency, true));
        }
    }
    let word: String = chars.get(at..at + 3)?.iter().collect();
    let is_code = word.chars().all(|c| c.is_ascii_uppercase()) && stands_alone(3);
    let currency = word.parse().ok().filter(|_| is_code)?;
    Some(mark(3, currency, true))
}

/// The amount that digits and separators say, in millionths.
///
/// Apostrophes and spaces part thousands. Of `.` and `,` the later one is the decimal point if both are there. One alone parts
/// thousands if it is there several times, or if exactly three digits follow it (`1.234`), unless the currency has a thousand
/// parts or a zero stands before it.
fn amount(text: &str, three_decimals: bool) -> Result<i64, PriceTextError> {
    let bad = PriceTextError::Number;
    let count = |c: char| text.chars().filter(|seen| *seen == c).count();
    let (points, commas) = (count('.'), count(','));
    let (last_point, last_comma) = (text.rfind('.'), text.rfind(','));
    let decimal = match (last_point, last_comma) {
        (Some(point), Some(comma)) => Some(point.max(comma)),
        (Some(one), None) | (None, Some(one)) if points + commas == 1 => {
            let (before, after) =
                (text.get(..one).unwrap_or_default(), text.get(one + 1..).unwrap_or_default());
            let parts_thousands = after.len() == 3 && before.len() <= 3 && before != "0" && !three_decimals;
            (!parts_thousands).then_some(one)
        }
        _ => None,
    };
    let (whole, fraction) = match decimal {
        Some(at) => (text.get(..at).unwrap_or_default(), text.get(at + 1..).unwrap_or_default()),
        None => (text, ""),
    };
    if fraction.len() > 4 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return Err(bad);
    }
    let separators: Vec<char> = whole.chars().filter(|c| !c.is_ascii_digit()).collect();
    if separators.iter().any(|c| Some(c) != separators.first()) {
        return Err(bad);
    }
    // Where only one kind of separator may part thousands, the decimal point is of another kind.
    if let (Some(at), Some(separator)) = (decimal, separators.first())
        && text.get(at..).is_some_and(|rest| rest.starts_with(*separator))
    {
        return Err(bad);
    }
    let groups: Vec<&str> = whole.split(|c: char| !c.is_ascii_digit()).collect();
    let well_grouped = match groups.as_slice() {
        [_] => true,
        [first, middle @ .., last] => {
            // India parts hundreds of thousands in pairs: 4,50,000.
            (1..=3).contains(&first.len())
                && last.len() == 3
                && (middle.iter().all(|group| group.len() == 3)
                    || (first.len() <= 2 && middle.iter().all(|group| group.len() == 2)))
        }
        [] => false,
    };
    if !well_grouped {
        return Err(bad);
    }
    let number: f64 = format!("{}.{fraction}0", groups.concat()).parse().map_err(|_| bad)?;
    if number > UNITS_MAX as f64 {
        return Err(bad);
    }
    micros(number).ok_or(PriceTextError::NotPositive)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, hint: &str) -> Result<(f64, String), PriceTextError> {
        parse_price(text, hint.parse().ok()).map(|(micros, currency)| {
            (crate::money::units(micros), currency.map(|currency| currency.to_string()).unwrap_or_default())
        })
    }

    #[test]
    fn prices_are_read_in_the_spellings_of_many_countries() {
        for (text, amount, currency) in [
            ("1.234,56 €", 1234.56, "EUR"),
            ("1.234,56\u{a0}€", 1234.56, "EUR"),
            ("$1,234.56", 1234.56, "USD"),
            ("US$ 1,234", 1234.0, "USD"),
            ("CHF 1'234.-", 1234.0, "CHF"),
            ("CHF 1’234.50", 1234.5, "CHF"),
            ("Fr. 99.–", 99.0, "CHF"),
            ("SFr. 1 250.00", 1250.0, "CHF"),
            ("from 99", 99.0, ""),
            ("ab 99,– EUR", 99.0, "EUR"),
            ("ab 99,- €", 99.0, "EUR"),
            ("99€", 99.0, "EUR"),
            ("EUR99", 99.0, "EUR"),
            ("€ 99", 99.0, "EUR"),
            ("1\u{202f}234,50\u{a0}€ / nuit", 1234.5, "EUR"),
            ("1 234 567,89 €", 1_234_567.89, "EUR"),
            ("1.234 €", 1234.0, "EUR"),
            ("1,234", 1234.0, ""),
            ("12,5", 12.5, ""),
            ("0,999", 0.999, ""),
            ("0.5 €", 0.5, "EUR"),
            ("£89", 89.0, "GBP"),
            ("¥12,000", 12_000.0, "JPY"),
            ("￥１２，０００", 12_000.0, "JPY"),
            ("₹4,50,000.00", 450_000.0, "INR"),
            ("Rs. 12,34,567", 1_234_567.0, "INR"),
            ("249 zł", 249.0, "PLN"),
            ("1 499 Kč", 1499.0, "CZK"),
            ("R$ 1.050,90", 1050.9, "BRL"),
            ("99 – 199 €", 99.0, "EUR"),
            ("€99-€199", 99.0, "EUR"),
            ("2 nights, 2 adults: 318 €", 318.0, "EUR"),
            ("-20% now 80 €", 80.0, "EUR"),
            ("was 9999 ab 1.180,00 €", 1180.0, "EUR"),
            ("ALL INCLUSIVE 99 €", 99.0, "EUR"),
            ("Total: 1,234.5 USD", 1234.5, "USD"),
            ("٩٩ USD", 99.0, "USD"),
            ("100 euros", 100.0, "EUR"),
            ("1234.5678", 1234.5678, ""),
        ] {
            match read(text, "") {
                Ok((seen, of)) => {
                    assert!((seen - amount).abs() < 1e-6, "{text:?} is {amount}, not {seen}");
                    assert_eq!(of, currency, "{text:?}");
                }
                Err(error) => panic!("{text:?}: {error}"),
            }
        }
    }

    #[test]
    fn signs_of_several_currencies_mean_the_one_that_is_expected() {
        assert_eq!(read("$99", "CAD"), Ok((99.0, "CAD".to_owned())));
        assert_eq!(read("$99", "EUR"), Ok((99.0, "USD".to_owned())));
        assert_eq!(read("¥99", "CNY"), Ok((99.0, "CNY".to_owned())));
        assert_eq!(read("1.299 kr", "DKK"), Ok((1299.0, "DKK".to_owned())));
        assert_eq!(read("kr 1.299,00", "NOK"), Ok((1299.0, "NOK".to_owned())));
        assert_eq!(read("1.299 kr", "EUR"), Ok((1299.0, String::new())), "whose crowns, nobody says");
        assert_eq!(read("KWD 12.345", ""), Ok((12.345, "KWD".to_owned())), "a dinar has a thousand fils");
        assert_eq!(read("12.345", "KWD"), Ok((12.345, String::new())));
    }

    #[test]
    fn what_can_be_read_in_two_ways_or_not_at_all_is_refused() {
        use PriceTextError::*;
        for (text, error) in [
            ("", NoNumber),
            ("on request", NoNumber),
            ("-20 %", NoNumber),
            ("R2D2", NoNumber),
            ("2 adults 3 nights 450", Ambiguous),
            ("0 €", NotPositive),
            ("0.00", NotPositive),
            ("-99 €", NotPositive),
            ("1.2.3 €", Number),
            ("1,23,4 €", Number),
            ("1.234.56,78 €", Number),
            ("1'2345 €", Number),
            ("1,234.567.890 €", Number),
            ("12.34567 €", Number),
            ("99999999999999 €", Number),
        ] {
            assert_eq!(read(text, ""), Err(error), "{text:?}");
        }
        assert_eq!(read(&"9 ".repeat(1_000), ""), Err(TooLong));
    }

    #[test]
    fn any_text_is_read_or_refused() {
        let alphabet: Vec<char> = "0123456789.,' -€$%kraCHF’\u{a0}٣".chars().collect();
        let seed = fresh_seed();
        let mut state = seed;
        for _ in 0..20_000 {
            let mut text = String::new();
            for _ in 0..12 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                text.push(alphabet[usize::try_from(state >> 33).unwrap() % alphabet.len()]);
            }
            if let Ok((micros, _)) = parse_price(&text, None) {
                assert!(micros > 0, "{text:?} (seed {seed})");
            }
        }
    }

    /// Another one in each process, printed by whatever fails.
    fn fresh_seed() -> u64 {
        use std::hash::{BuildHasher as _, RandomState};
        RandomState::new().hash_one(0)
    }
}
