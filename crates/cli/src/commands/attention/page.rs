//! The page that draws attention weights: one file that needs nothing else.

use berth_pipeline::AttentionAnswer;
use serde_json::json;

const TEMPLATE: &str = include_str!("page.html");

/// Draws the weights of one text.
pub(super) fn render(model: &str, text: &str, answer: &AttentionAnswer) -> String {
    let tokens: Vec<_> =
        answer.tokens.iter().map(|token| json!({"piece": token.piece, "special": token.special})).collect();
    let layers: Vec<_> = answer
        .layers
        .iter()
        .map(|layer| json!({"layer": layer.layer, "heads": layer.heads.iter().map(|head| packed(head)).collect::<Vec<_>>()}))
        .collect();
    let data = json!({"tokens": tokens, "layers": layers, "truncated": answer.truncated});
    // In a script element nothing is escaped, and `</script>` would end it.
    let data = data.to_string().replace('<', "\\u003c").replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029");
    let fill = |page: &str, mark: &str, value: &str| page.replacen(mark, value, 1);
    let page = fill(TEMPLATE, "{{model}}", &escaped(model));
    let page = fill(&page, "{{model}}", &escaped(model));
    // What comes from the text goes in last, so that no mark in it is taken for one of the page.
    let (before, after) = page.split_once("{{text}}").unwrap_or((&page, ""));
    let (between, after) = after.split_once("{{data}}").unwrap_or((after, ""));
    [before, &escaped(text), between, &data, after].concat()
}

/// Weights as base64 of 16-bit numbers, little-endian: 65,535 is 1.
fn packed(weights: &[f32]) -> String {
    let number = |weight: &f32| (weight.clamp(0.0, 1.0) * 65_535.0).round() as u16;
    base64(&weights.iter().flat_map(|weight| number(weight).to_le_bytes()).collect::<Vec<_>>())
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let byte = |place: usize| u32::from(three.get(place).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= three.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            _ => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use berth_pipeline::RowToken;
    use berth_pipeline::attention::LayerAttention;

    use super::*;

    fn page(text: &str, piece: &str) -> String {
        let token =
            RowToken { piece: piece.to_owned(), id: 1, start: 0, end: 1, r#type: 0, special: false, unknown: false };
        let layers = vec![LayerAttention { layer: 0, tokens: 1, heads: vec![vec![1.0]] }];
        render("tiny", text, &AttentionAnswer { tokens: vec![token], layers, truncated: 0 })
    }

    #[test]
    fn a_text_cannot_write_the_page() {
        let evil = "</script><script>alert(1)</script>{{data}}<img src=x onerror=alert(1)>";
        let page = page(evil, evil);
        assert_eq!(page.matches("</script>").count(), TEMPLATE.matches("</script>").count());
        assert!(!page.contains("<img") && page.contains("&lt;img src=x"));
        assert!(page.contains("\\u003c/script>"), "the piece is in the data");
    }

    #[test]
    fn the_page_needs_nothing_else() {
        let page = page("a text", "a");
        for outside in ["http://", "https://", "src=", "@import", "url("] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert!(!page.contains("{{"), "a mark was left");
        assert!(page.contains("//8="), "the weight 1 is 65,535");
    }

    #[test]
    fn base64_pads() {
        assert_eq!([&b"M"[..], b"Ma", b"Man", b""].map(base64), ["TQ==", "TWE=", "TWFu", ""]);
    }
}
