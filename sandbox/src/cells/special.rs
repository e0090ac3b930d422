//! Columns that are filled by functions: bitmaps, HLL, bytes.

use super::Decimal;

/// `to_bitmap`: a bitmap of one number, 0 to 2^64-1; `None` for anything else.
#[must_use]
pub(crate) fn to_bitmap(text: &str) -> Option<String> {
    let number = Decimal::parse(text)?.truncated()?;
    u64::try_from(number).ok().map(|number| number.to_string())
}

/// `hll_hash`: what stands for a value. Each value has its own, so that counts are exact where an engine estimates.
#[must_use]
pub(crate) fn hll_hash(text: &str) -> String {
    // FNV-1a: hashes are kept on disk, so they must not change with the library.
    let hash = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{hash:016x}")
}

/// `to_binary`: bytes as upper-case hexadecimal digits; `None` if the text isn't in the form.
#[must_use]
pub(crate) fn to_binary(text: &str, form: &str) -> Option<String> {
    let bytes = match form.to_ascii_lowercase().as_str() {
        "hex" => {
            let is_hex = text.len().is_multiple_of(2) && text.bytes().all(|b| b.is_ascii_hexdigit());
            return is_hex.then(|| text.to_ascii_uppercase());
        }
        "encode64" => base64_simd::STANDARD.decode_to_vec(text).ok()?,
        "utf8" => text.as_bytes().to_vec(),
        _ => return None,
    };
    Some(bytes.iter().map(|byte| format!("{byte:02X}")).collect())
}
