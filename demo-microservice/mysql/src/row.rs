//! Rows of a result: column definitions, and fields in the binary and the text form.

use crate::{
    error::{Error, Result},
    time::{Clock, DateTime},
    value::{FromValue, Value, convert},
    wire::Reader,
};

mod kind {
    //! Field types (MySQL protocol, "Column Definition").
    pub(super) const TINY: u8 = 0x01;
    pub(super) const SHORT: u8 = 0x02;
    pub(super) const LONG: u8 = 0x03;
    pub(super) const FLOAT: u8 = 0x04;
    pub(super) const DOUBLE: u8 = 0x05;
    pub(super) const NULL: u8 = 0x06;
    pub(super) const TIMESTAMP: u8 = 0x07;
    pub(super) const LONGLONG: u8 = 0x08;
    pub(super) const INT24: u8 = 0x09;
    pub(super) const DATE: u8 = 0x0a;
    pub(super) const TIME: u8 = 0x0b;
    pub(super) const DATETIME: u8 = 0x0c;
    pub(super) const YEAR: u8 = 0x0d;
    pub(super) const VAR_STRING: u8 = 0xfd;
}
const UNSIGNED: u16 = 32;

/// A column of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    name: String,
    kind: u8,
    unsigned: bool,
}

impl Column {
    /// The name that the result gives the column.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn parse(payload: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(payload);
        for _catalog_schema_table_and_origin in 0..4 {
            reader.lenenc_bytes()?;
        }
        let name = String::from_utf8_lossy(reader.lenenc_bytes()?).into_owned();
        let _original_name = reader.lenenc_bytes()?;
        let _length_of_the_rest = reader.lenenc()?;
        let _charset = reader.u16()?;
        let _width = reader.u32()?;
        let kind = reader.u8()?;
        let flags = reader.u16()?;
        Ok(Self {
            name,
            kind,
            unsigned: flags & UNSIGNED != 0,
        })
    }
}

/// One row, valid while its packet is.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    columns: &'a [Column],
    values: &'a [Value<'a>],
}

impl<'a> Row<'a> {
    pub(crate) fn new(columns: &'a [Column], values: &'a [Value<'a>]) -> Self {
        Self { columns, values }
    }

    /// Reads the field at `index`, counted from 0.
    ///
    /// # Errors
    /// [`Error::Conversion`] where there is no such column or its value does not fit `T`.
    pub fn get<T: FromValue<'a>>(&self, index: usize) -> Result<T> {
        match (self.values.get(index), self.columns.get(index)) {
            (Some(&value), Some(column)) => convert(value, &column.name),
            _ => Err(Error::Conversion(format!(
                "the result has no column number {index}"
            ))),
        }
    }

    /// The columns of the result.
    #[must_use]
    pub fn columns(&self) -> &'a [Column] {
        self.columns
    }
}

/// Reads a `ProtocolBinary::ResultsetRow`, first byte included.
pub(crate) fn read_binary<'a>(payload: &'a [u8], columns: &[Column]) -> Result<Vec<Value<'a>>> {
    let mut reader = Reader::new(payload);
    if reader.u8()? != 0 {
        return Err(Error::protocol("a row does not start with 0"));
    }
    let nulls = reader.bytes((columns.len() + 9) / 8)?;
    let mut values = Vec::with_capacity(columns.len());
    for (i, column) in (2..).zip(columns) {
        let null = nulls[i / 8] >> (i % 8) & 1 == 1;
        values.push(if null {
            Value::Null
        } else {
            binary_value(&mut reader, column)?
        });
    }
    Ok(values)
}

fn binary_value<'a>(reader: &mut Reader<'a>, column: &Column) -> Result<Value<'a>> {
    Ok(match (column.kind, column.unsigned) {
        (kind::NULL, _) => Value::Null,
        (kind::TINY, false) => Value::Int(i8::from_le_bytes(reader.array()?).into()),
        (kind::TINY, true) => Value::UInt(reader.u8()?.into()),
        (kind::SHORT, false) => Value::Int(i16::from_le_bytes(reader.array()?).into()),
        (kind::SHORT | kind::YEAR, _) => Value::UInt(reader.u16()?.into()),
        (kind::LONG | kind::INT24, false) => Value::Int(i32::from_le_bytes(reader.array()?).into()),
        (kind::LONG | kind::INT24, true) => Value::UInt(reader.u32()?.into()),
        (kind::LONGLONG, false) => Value::Int(i64::from_le_bytes(reader.array()?)),
        (kind::LONGLONG, true) => Value::UInt(u64::from_le_bytes(reader.array()?)),
        (kind::FLOAT, _) => Value::Float(f32::from_le_bytes(reader.array()?)),
        (kind::DOUBLE, _) => Value::Double(f64::from_le_bytes(reader.array()?)),
        (kind::DATE | kind::DATETIME | kind::TIMESTAMP, _) => {
            Value::DateTime(DateTime::read(reader)?)
        }
        (kind::TIME, _) => Value::Time(Clock::read(reader)?),
        _ => Value::Bytes(reader.lenenc_bytes()?),
    })
}

/// Reads a `ProtocolText::ResultsetRow`.
pub(crate) fn read_text<'a>(payload: &'a [u8], columns: &[Column]) -> Result<Vec<Value<'a>>> {
    let mut reader = Reader::new(payload);
    let mut values = Vec::with_capacity(columns.len());
    for column in columns {
        if let [0xfb, ..] = reader.rest() {
            reader.u8()?;
            values.push(Value::Null);
            continue;
        }
        let bytes = reader.lenenc_bytes()?;
        let value = text_value(bytes, column).ok_or_else(|| {
            Error::protocol(format!("column {} holds no value of its type", column.name))
        })?;
        values.push(value);
    }
    Ok(values)
}

fn text_value<'a>(bytes: &'a [u8], column: &Column) -> Option<Value<'a>> {
    let text = || std::str::from_utf8(bytes).ok();
    Some(match (column.kind, column.unsigned) {
        (kind::TINY | kind::SHORT | kind::LONG | kind::INT24 | kind::LONGLONG, false) => {
            Value::Int(text()?.parse().ok()?)
        }
        (kind::TINY | kind::SHORT | kind::LONG | kind::INT24 | kind::LONGLONG | kind::YEAR, _) => {
            Value::UInt(text()?.parse().ok()?)
        }
        (kind::FLOAT, _) => Value::Float(text()?.parse().ok()?),
        (kind::DOUBLE, _) => Value::Double(text()?.parse().ok()?),
        (kind::DATE | kind::DATETIME | kind::TIMESTAMP, _) => {
            Value::DateTime(DateTime::parse(text()?)?)
        }
        (kind::TIME, _) => Value::Time(Clock::parse(text()?)?),
        _ => Value::Bytes(bytes),
    })
}

/// Writes the parameters of a `COM_STMT_EXECUTE`: nulls, types and values.
pub(crate) fn write_parameters(out: &mut Vec<u8>, values: &[Value<'_>]) {
    if values.is_empty() {
        return;
    }
    let nulls = out.len();
    out.resize(nulls + values.len().div_ceil(8), 0);
    out.push(1);
    for (i, value) in values.iter().enumerate() {
        let (kind, flags) = match value {
            Value::Null => {
                out[nulls + i / 8] |= 1 << (i % 8);
                (kind::NULL, 0)
            }
            Value::Int(_) => (kind::LONGLONG, 0),
            Value::UInt(_) => (kind::LONGLONG, 0x80),
            Value::Float(_) => (kind::FLOAT, 0),
            Value::Double(_) => (kind::DOUBLE, 0),
            Value::Bytes(_) => (kind::VAR_STRING, 0),
            Value::DateTime(_) => (kind::DATETIME, 0),
            Value::Time(_) => (kind::TIME, 0),
        };
        out.extend_from_slice(&[kind, flags]);
    }
    for value in values {
        match value {
            Value::Null => {}
            Value::Int(number) => out.extend_from_slice(&number.to_le_bytes()),
            Value::UInt(number) => out.extend_from_slice(&number.to_le_bytes()),
            Value::Float(number) => out.extend_from_slice(&number.to_le_bytes()),
            Value::Double(number) => out.extend_from_slice(&number.to_le_bytes()),
            Value::Bytes(bytes) => crate::wire::put_lenenc_bytes(out, bytes),
            Value::DateTime(moment) => moment.write(out),
            Value::Time(span) => span.write(out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn column(kind: u8, unsigned: bool) -> Column {
        Column {
            name: "c".into(),
            kind,
            unsigned,
        }
    }

    #[derive(Debug, Clone)]
    enum Owned {
        Null,
        Int(i64),
        UInt(u64),
        Float(f32),
        Double(f64),
        Bytes(Vec<u8>),
    }

    fn owned() -> impl Strategy<Value = Owned> {
        prop_oneof![
            Just(Owned::Null),
            any::<i64>().prop_map(Owned::Int),
            any::<u64>().prop_map(Owned::UInt),
            (-1e30_f32..1e30).prop_map(Owned::Float),
            (-1e300_f64..1e300).prop_map(Owned::Double),
            prop::collection::vec(any::<u8>(), 0..300).prop_map(Owned::Bytes),
        ]
    }

    fn borrowed(value: &Owned) -> (Value<'_>, Column) {
        match value {
            Owned::Null => (Value::Null, column(kind::VAR_STRING, false)),
            Owned::Int(number) => (Value::Int(*number), column(kind::LONGLONG, false)),
            Owned::UInt(number) => (Value::UInt(*number), column(kind::LONGLONG, true)),
            Owned::Float(number) => (Value::Float(*number), column(kind::FLOAT, false)),
            Owned::Double(number) => (Value::Double(*number), column(kind::DOUBLE, false)),
            Owned::Bytes(bytes) => (Value::Bytes(bytes), column(kind::VAR_STRING, false)),
        }
    }

    /// The row a server would send back for these parameters.
    fn as_row(values: &[Value<'_>]) -> Vec<u8> {
        let mut parameters = Vec::new();
        write_parameters(&mut parameters, values);
        let body = values.len().div_ceil(8) + 1 + 2 * values.len();
        let mut row = vec![0; 1 + (values.len() + 9) / 8];
        for (i, value) in (2..).zip(values) {
            if *value == Value::Null {
                row[1 + i / 8] |= 1 << (i % 8);
            }
        }
        row.extend_from_slice(&parameters[body..]);
        row
    }

    proptest! {
        #[test]
        fn what_is_bound_can_be_read_back(values in prop::collection::vec(owned(), 1..20)) {
            let (values, columns): (Vec<_>, Vec<_>) = values.iter().map(borrowed).unzip();
            let row = as_row(&values);
            prop_assert_eq!(read_binary(&row, &columns).unwrap(), values);
        }

        #[test]
        fn garbage_never_panics(
            bytes in prop::collection::vec(any::<u8>(), 0..100),
            kinds in prop::collection::vec((any::<u8>(), any::<bool>()), 0..20),
        ) {
            let columns: Vec<_> = kinds.iter().map(|&(kind, unsigned)| column(kind, unsigned)).collect();
            let _ = read_binary(&bytes, &columns);
            let _ = read_text(&bytes, &columns);
            let _ = Column::parse(&bytes);
        }
    }

    #[test]
    fn a_text_row_has_the_same_types() {
        let columns = [
            column(kind::LONG, false),
            column(kind::LONGLONG, true),
            column(kind::FLOAT, false),
            column(kind::VAR_STRING, false),
            column(kind::VAR_STRING, false),
            column(kind::DATE, false),
        ];
        let row = b"\x02-7\x0218\x0556.25\x03a'b\xfb\x0a2026-11-21";
        let values = read_text(row, &columns).unwrap();
        let day = DateTime {
            year: 2026,
            month: 11,
            day: 21,
            ..DateTime::default()
        };
        let expected = [
            Value::Int(-7),
            Value::UInt(18),
            Value::Float(56.25),
            Value::Bytes(b"a'b"),
            Value::Null,
            Value::DateTime(day),
        ];
        assert_eq!(values, expected);
        assert!(read_text(b"\x01x", &columns[..1]).is_err());
    }

    #[test]
    fn a_missing_column_is_an_error() {
        let row = Row::new(&[], &[]);
        assert!(matches!(row.get::<i32>(0), Err(Error::Conversion(_))));
    }
}
