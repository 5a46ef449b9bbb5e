//! Text and numbers as they stand in the page.

/// Stands where there is no number.
pub(super) const DASH: &str = "–";

/// From here on the digits of a 64-bit float do not reach down to one.
const LARGE: f64 = 1e15;

/// Makes text from outside safe in HTML and in SVG, between tags and in quoted attributes.
///
/// Control characters other than tabs and ends of lines become spaces, because HTML has no way to write them. Characters
/// that embed, override or isolate a direction of writing are left out: one without its end would turn around what follows.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {}
            c if c.is_control() && !matches!(c, '\n' | '\t') => safe.push(' '),
            c => safe.push(c),
        }
    }
    safe
}

/// Cuts text to at most `most` characters, the last of them an ellipsis where something was cut.
pub(super) fn shortened(text: &str, most: usize) -> String {
    if text.chars().nth(most).is_none() {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

/// Writes a number with so many decimals, thousands grouped, a true minus sign; what is not finite is a dash, and from
/// [`LARGE`] on there are powers of ten.
pub(super) fn number(value: f64, decimals: usize) -> String {
    if !value.is_finite() {
        return DASH.to_owned();
    }
    if value.abs() >= LARGE {
        return format!("{value:.2e}").replace('-', "−");
    }
    let digits = format!("{:.decimals$}", value.abs());
    let (whole, fraction) = digits.split_once('.').map_or((digits.as_str(), ""), |(whole, fraction)| (whole, fraction));
    let mut text = String::new();
    if value < 0.0 && digits.bytes().any(|digit| (b'1'..=b'9').contains(&digit)) {
        text.push('−');
    }
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if !fraction.is_empty() {
        text.push('.');
        text.push_str(fraction);
    }
    text
}

/// Writes a difference: as [`number`], with a plus sign before what is above zero.
pub(super) fn signed(value: f64, decimals: usize) -> String {
    let text = number(value, decimals);
    let above = value > 0.0 && text.bytes().any(|digit| (b'1'..=b'9').contains(&digit));
    if above { format!("+{text}") } else { text }
}

/// Writes a share of rounds that came out as far or further: small ones as a bound.
pub(super) fn p_value(value: f64) -> String {
    if value < 0.001 { "< 0.001".to_owned() } else { number(value, 3) }
}

/// Writes a count with its noun: `1 query`, `4,500 queries`.
pub(super) fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{} {}", number(count as f64, 0), if count == 1 { one } else { many })
}
