//! A page, parsed within bounds.

use encoding_rs::{Encoding, UTF_8};
use html5ever::driver::{self, ParseOpts};
use html5ever::tendril::TendrilSink as _;
use scraper::{Html, HtmlTreeSink, StrTendril};

/// Most nodes of a page; the largest real ones have a tenth of it.
const NODES_MAX: usize = 100_000;
/// Deepest nesting. Some steps of the parser cost as much as the page is deep.
const DEPTH_MAX: usize = 600;
/// Bytes that are parsed between two looks at what has become of them: formatting elements that are left open are repeated at
/// each paragraph, so a few bytes can make many nodes.
const PIECE: usize = 64;
/// How far into a page its own word about its encoding is looked for, as browsers do.
const SNIFFED: usize = 1024;

/// A page that was parsed. Stays on one thread.
pub(crate) struct Document {
    pub html: Html,
}

/// A page that is not parsed to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DocumentError {
    #[error("it has more than {NODES_MAX} elements and texts")]
    TooMany,
    #[error("its elements are nested deeper than {DEPTH_MAX}")]
    TooDeep,
}

impl Document {
    /// Parses a page. `charset` is what the answer's head says of its encoding.
    pub fn parse(bytes: &[u8], charset: Option<&str>) -> Result<Self, DocumentError> {
        let text = decode(bytes, charset);
        let mut parser =
            driver::parse_document(HtmlTreeSink::new(Html::new_document()), ParseOpts::default());
        let mut rest = text.as_ref();
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(rest.floor_char_boundary(PIECE.min(rest.len())));
            parser.process(StrTendril::from(piece));
            rest = after;
            let html = parser.tokenizer.sink.sink.0.borrow();
            let mut nodes = html.tree.nodes();
            if nodes.len() > NODES_MAX {
                return Err(DocumentError::TooMany);
            }
            if nodes.next_back().is_some_and(|last| last.ancestors().nth(DEPTH_MAX).is_some()) {
                return Err(DocumentError::TooDeep);
            }
        }
        Ok(Self { html: parser.finish() })
    }
}

/// The text of a page: by a mark of byte order, the answer's head, the page's own word, or as UTF-8. What cannot be read becomes
/// the replacement character: a price is seldom in it.
fn decode<'a>(bytes: &'a [u8], charset: Option<&str>) -> std::borrow::Cow<'a, str> {
    let named = charset.and_then(|label| Encoding::for_label(label.as_bytes()));
    let encoding = named.or_else(|| own_word(bytes)).unwrap_or(UTF_8);
    // A mark of byte order wins over both.
    encoding.decode(bytes).0
}

/// `<meta charset=…>` or `<meta http-equiv … content="…; charset=…">`, near the beginning.
fn own_word(bytes: &[u8]) -> Option<&'static Encoding> {
    let head = bytes.get(..bytes.len().min(SNIFFED))?.to_ascii_lowercase();
    let head = String::from_utf8_lossy(&head);
    head.match_indices("<meta").find_map(|(at, _)| {
        let tag = head.get(at..)?.split('>').next()?;
        let (_, after) = tag.split_once("charset=")?;
        let label: String = after
            .trim_start_matches(['"', '\'', ' '])
            .chars()
            .take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | ':'))
            .collect();
        Encoding::for_label(label.as_bytes())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_read_in_the_encoding_they_are_in() {
        for (bytes, charset) in [
            ("<p>99 €".as_bytes(), None),
            (b"<p>99 \x80", Some("windows-1252")),
            (b"<p>99 \xa4", Some("iso-8859-15")),
            (b"<meta charset=\"windows-1252\"><p>99 \x80", None),
            (b"<META http-equiv=content-type content='text/html; charset=windows-1252'><p>99 \x80", None),
            (b"\xef\xbb\xbf<p>99 \xe2\x82\xac", Some("windows-1252")),
        ] {
            assert!(decode(bytes, charset).contains("99 €"), "{charset:?}");
        }
        assert!(decode(b"\xff\xfe9\x009\x00 \x00\xac\x20", None).contains("99 €"), "UTF-16");
        assert_eq!(decode(b"99 \xff", Some("nonsense")), "99 \u{fffd}");
    }

    #[test]
    fn pages_that_grow_beyond_all_pages_are_given_up() {
        let deep = "<div>".repeat(400_000);
        assert_eq!(Document::parse(deep.as_bytes(), None).err(), Some(DocumentError::TooDeep));
        let wide = "<i>x</i>".repeat(200_000);
        assert_eq!(Document::parse(wide.as_bytes(), None).err(), Some(DocumentError::TooMany));
        // Each paragraph opens all of the formatting elements again.
        let mut bomb = "<p>".to_owned();
        bomb.extend((0..500).map(|n| format!("<b a={n}>")));
        bomb.push_str("</p>");
        bomb.push_str(&"<p>x</p>".repeat(100_000));
        assert_eq!(Document::parse(bomb.as_bytes(), None).err(), Some(DocumentError::TooMany));
        let tables = "<table><tr><td>".repeat(100_000);
        assert!(Document::parse(tables.as_bytes(), None).is_err());
    }

    #[test]
    fn any_bytes_are_a_page() {
        for bytes in
            [&b""[..], b"\x00", b"<", b"</", b"<!--", b"<p a=", b"&#x110000;", b"<script>", b"\xff\xff\xff"]
        {
            assert!(Document::parse(bytes, None).is_ok(), "{bytes:?}");
        }
    }
}
