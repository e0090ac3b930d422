//! Plain bytes of another character set become UTF-8.

use encoding_rs::DecoderResult;

use crate::config::Charset;

/// Appends the text in UTF-8.
///
/// # Errors
/// The index of the first bytes that stand for no character of the set.
pub(super) fn utf8(charset: Charset, bytes: &[u8], out: &mut String) -> Result<(), usize> {
    match charset {
        Charset::Utf8 => {
            out.push_str(std::str::from_utf8(bytes).map_err(|error| error.valid_up_to())?);
            Ok(())
        }
        Charset::Latin1 => {
            out.extend(bytes.iter().map(|byte| char::from(*byte)));
            Ok(())
        }
        Charset::Other(encoding) => {
            let mut decoder = encoding.new_decoder_without_bom_handling();
            let most = decoder.max_utf8_buffer_length_without_replacement(bytes.len());
            out.reserve(most.unwrap_or_default());
            match decoder.decode_to_string_without_replacement(bytes, out, true) {
                (DecoderResult::InputEmpty, _) => Ok(()),
                (DecoderResult::Malformed(bad, behind), read) => {
                    Err(read.saturating_sub(usize::from(bad) + usize::from(behind)))
                }
                // As much room as the worst text needs was made.
                (DecoderResult::OutputFull, read) => Err(read),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn charset(label: &str) -> Charset {
        Charset::Other(encoding_rs::Encoding::for_label(label.as_bytes()).unwrap())
    }

    fn read(charset: Charset, bytes: &[u8]) -> Result<String, usize> {
        let mut out = String::new();
        utf8(charset, bytes, &mut out).map(|()| out)
    }

    #[test]
    fn characters_of_other_sets() {
        for (set, bytes, text) in [
            (charset("gbk"), b"{\"a\":\"\xD6\xD0\xCE\xC4\"}".as_slice(), "{\"a\":\"中文\"}"),
            // Four bytes are GB 18030's own; the second byte of a pair may be a quote's or a backslash's neighbour.
            (charset("gb18030"), b"\x81\x30\x81\x30\x81\x5C", "\u{80}乗"),
            (charset("big5"), b"\xA4\xA4\xB3\x5C", "中許"),
            (charset("shift_jis"), b"\x83\x5C", "ソ"),
            (charset("windows-1252"), b"\x80\xE9", "€é"),
            (Charset::Latin1, b"\x80\xE9\xFF", "\u{80}éÿ"),
            (Charset::Utf8, "é".as_bytes(), "é"),
        ] {
            assert_eq!(read(set, bytes).as_deref(), Ok(text), "{set:?}");
        }
    }

    #[test]
    fn what_stands_for_no_character_is_placed() {
        assert_eq!(read(charset("gbk"), b"ab\xFF\xFFcd"), Err(2));
        assert_eq!(read(charset("gbk"), b"abc\xD6"), Err(3));
        assert_eq!(read(charset("gb18030"), b"\xD6\xD0\x81\x30\x81"), Err(2));
        assert_eq!(read(Charset::Utf8, b"a\xFF"), Err(1));
    }
}
