//! Prepared statements: parameters and rows in binary.

use super::packet::{Reader, put_counted};
use crate::sql::{OutputColumn, Parameter, SqlType};

/// A statement that a client has prepared.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) sql: String,
    /// Number of `?`.
    pub(super) parameters: usize,
    /// Type codes of the parameters with the flag for unsigned, as the last execution named them.
    types: Vec<(u8, bool)>,
    /// A parameter came by `COM_STMT_SEND_LONG_DATA`, which isn't imitated.
    pub(super) has_long_data: bool,
}

impl Prepared {
    pub(super) fn new(sql: String, parameters: usize) -> Self {
        Self { sql, parameters, types: Vec::new(), has_long_data: false }
    }

    /// Reads what follows the statement's id in `COM_STMT_EXECUTE`; `None` if it breaks off or has a type that isn't
    /// imitated.
    pub(super) fn parameters(&mut self, payload: &[u8]) -> Option<Vec<Parameter>> {
        let mut reader = Reader(payload);
        // Cursor flags and a count that is always one.
        let flags = reader.byte()?;
        reader.take(4)?;
        if flags != 0 {
            return None;
        }
        if self.parameters == 0 {
            return Some(Vec::new());
        }
        let nulls = reader.take(self.parameters.div_ceil(8))?;
        if reader.byte()? == 1 {
            let mut types = Vec::with_capacity(self.parameters);
            for _ in 0..self.parameters {
                let [code, flag] = reader.bytes()?;
                types.push((code, flag & 0x80 != 0));
            }
            self.types = types;
        }
        let mut values = Vec::with_capacity(self.parameters);
        for position in 0..self.parameters {
            let is_null = nulls[position / 8] >> (position % 8) & 1 == 1;
            let (code, is_unsigned) = *self.types.get(position)?;
            values.push(if is_null { Parameter::Null } else { value(&mut reader, code, is_unsigned)? });
        }
        Some(values)
    }
}

fn value(reader: &mut Reader<'_>, code: u8, is_unsigned: bool) -> Option<Parameter> {
    let number = |number: String| Some(Parameter::Number(number));
    match (code, is_unsigned) {
        (0x06, _) => Some(Parameter::Null),
        (0x01, false) => number(i8::from_le_bytes(reader.bytes()?).to_string()),
        (0x01, true) => number(u8::from_le_bytes(reader.bytes()?).to_string()),
        (0x02, false) => number(i16::from_le_bytes(reader.bytes()?).to_string()),
        (0x02, true) => number(u16::from_le_bytes(reader.bytes()?).to_string()),
        (0x03, false) => number(i32::from_le_bytes(reader.bytes()?).to_string()),
        (0x03, true) => number(u32::from_le_bytes(reader.bytes()?).to_string()),
        (0x08, false) => number(i64::from_le_bytes(reader.bytes()?).to_string()),
        (0x08, true) => number(u64::from_le_bytes(reader.bytes()?).to_string()),
        // A double is written with an exponent, so that it isn't taken for a decimal.
        (0x04, _) => number(format!("{:e}", f32::from_le_bytes(reader.bytes()?))),
        (0x05, _) => number(format!("{:e}", f64::from_le_bytes(reader.bytes()?))),
        (0x00 | 0xf6, _) => number(String::from_utf8(reader.counted()?.to_vec()).ok()?),
        (0x07 | 0x0a | 0x0c, _) => moment(reader.counted()?),
        (0x0f | 0xf9..=0xfe, _) => Some(Parameter::Text(String::from_utf8(reader.counted()?.to_vec()).ok()?)),
        _ => None,
    }
}

/// A date or a time of 0, 4, 7 or 11 bytes.
fn moment(bytes: &[u8]) -> Option<Parameter> {
    let mut reader = Reader(bytes);
    let year = u16::from_le_bytes(reader.bytes()?);
    let [month, day] = reader.bytes()?;
    let date = format!("{year:04}-{month:02}-{day:02}");
    if bytes.len() == 4 {
        return Some(Parameter::Text(date));
    }
    let [hour, minute, second] = reader.bytes()?;
    let time = format!("{date} {hour:02}:{minute:02}:{second:02}");
    if bytes.len() == 7 {
        return Some(Parameter::Text(time));
    }
    Some(Parameter::Text(format!("{time}.{:06}", u32::from_le_bytes(reader.bytes()?))))
}

/// Writes a row in binary: a bitmap of NULLs, then the values by their types.
pub(super) fn put_binary_row(out: &mut Vec<u8>, columns: &[OutputColumn], row: &[Option<String>]) {
    out.push(0);
    let mut nulls = vec![0_u8; (columns.len() + 2).div_ceil(8)];
    for (position, _) in row.iter().enumerate().filter(|(_, cell)| cell.is_none()) {
        nulls[(position + 2) / 8] |= 1 << ((position + 2) % 8);
    }
    out.extend_from_slice(&nulls);
    for (column, cell) in columns.iter().zip(row) {
        if let Some(text) = cell {
            put_binary(out, column.ty, text);
        }
    }
}

/// A value that can't be read as its type, which no table holds, is written as zero.
fn put_binary(out: &mut Vec<u8>, ty: SqlType, text: &str) {
    match ty {
        SqlType::Boolean | SqlType::Integer { bits: 8 } => {
            out.extend_from_slice(&text.parse::<i8>().unwrap_or_default().to_le_bytes());
        }
        SqlType::Integer { bits: 16 } => {
            out.extend_from_slice(&text.parse::<i16>().unwrap_or_default().to_le_bytes());
        }
        SqlType::Integer { bits: 32 } => {
            out.extend_from_slice(&text.parse::<i32>().unwrap_or_default().to_le_bytes());
        }
        SqlType::Integer { .. } => out.extend_from_slice(&text.parse::<i64>().unwrap_or_default().to_le_bytes()),
        SqlType::Float => out.extend_from_slice(&text.parse::<f32>().unwrap_or_default().to_le_bytes()),
        SqlType::Double => out.extend_from_slice(&text.parse::<f64>().unwrap_or_default().to_le_bytes()),
        SqlType::Date | SqlType::DateTime { .. } => put_moment(out, text),
        SqlType::Null | SqlType::LargeInt | SqlType::Decimal { .. } | SqlType::Text { .. } | SqlType::Json => {
            put_counted(out, text.as_bytes());
        }
    }
}

/// `YYYY-MM-DD[ HH:MM:SS[.ffffff]]` in binary.
fn put_moment(out: &mut Vec<u8>, text: &str) {
    let mut numbers = text.split(['-', ' ', ':', '.']);
    let mut next = || numbers.next().and_then(|n| n.parse::<u16>().ok()).unwrap_or_default();
    let year = next();
    let small = [next(), next(), next(), next(), next()].map(|n| n.to_le_bytes()[0]);
    let micros = text.split_once('.').and_then(|(_, f)| format!("{f:0<6}").parse::<u32>().ok()).unwrap_or_default();
    let length: u8 = match (text.len() > 10, micros) {
        (false, _) => 4,
        (true, 0) => 7,
        (true, _) => 11,
    };
    out.push(length);
    out.extend_from_slice(&year.to_le_bytes());
    out.extend_from_slice(&small[..if length == 4 { 2 } else { 5 }]);
    if length == 11 {
        out.extend_from_slice(&micros.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_there_and_back() {
        for text in ["2024-02-03", "2024-02-03 04:05:06", "2024-02-03 04:05:06.070000"] {
            let mut out = Vec::new();
            put_moment(&mut out, text);
            assert_eq!(moment(Reader(&out).counted().unwrap()), Some(Parameter::Text(text.to_owned())));
        }
    }

    #[test]
    fn parameters_that_break_off() {
        let payload: &[u8] = &[0, 1, 0, 0, 0, 0, 1, 0x08, 0, 0xfd, 0, 7, 0, 0, 0, 0, 0, 0, 0, 2, b'a', b'b'];
        let read = |length: usize| Prepared::new(String::new(), 2).parameters(&payload[..length]);
        let want = vec![Parameter::Number("7".into()), Parameter::Text("ab".into())];
        assert_eq!(read(payload.len()), Some(want));
        for length in 0..payload.len() {
            assert_eq!(read(length), None, "{length}");
        }
    }
}
