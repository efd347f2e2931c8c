//! Values as the database sees them, bound to a statement or read from a row.

use crate::{
    error::{Error, Result},
    time::{Clock, DateTime},
};

/// One value: a parameter of a statement, or a field of a row.
///
/// Texts and everything that travels as one (decimals, JSON, enums, blobs) are [`Value::Bytes`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// `NULL`.
    Null,
    /// Any signed integer type, and `YEAR`.
    Int(i64),
    /// Any unsigned integer type.
    UInt(u64),
    /// `FLOAT`.
    Float(f32),
    /// `DOUBLE`.
    Double(f64),
    /// Text (utf8mb4) or binary data.
    Bytes(&'a [u8]),
    /// `DATE`, `DATETIME` and `TIMESTAMP`.
    DateTime(DateTime),
    /// `TIME`: a span of up to 838 hours, either way.
    Time(Clock),
}

/// A type that a field of a row can be read as.
pub trait FromValue<'a>: Sized {
    /// Reads the value, or gives `None` where it does not fit without loss.
    fn from_value(value: Value<'a>) -> Option<Self>;
}

impl<'a> FromValue<'a> for Value<'a> {
    fn from_value(value: Self) -> Option<Self> {
        Some(value)
    }
}

impl<'a, T: FromValue<'a>> FromValue<'a> for Option<T> {
    fn from_value(value: Value<'a>) -> Option<Self> {
        match value {
            Value::Null => Some(None),
            value => T::from_value(value).map(Some),
        }
    }
}

macro_rules! integers {
    ($($type:ty),*) => {$(
        impl<'a> FromValue<'a> for $type {
            fn from_value(value: Value<'a>) -> Option<Self> {
                match value {
                    Value::Int(number) => Self::try_from(number).ok(),
                    Value::UInt(number) => Self::try_from(number).ok(),
                    _ => None,
                }
            }
        }
        impl From<$type> for Value<'_> {
            fn from(number: $type) -> Self {
                Value::Int(number.into())
            }
        }
    )*};
}
integers!(i8, i16, i32, i64, u8, u16, u32);

impl<'a> FromValue<'a> for u64 {
    fn from_value(value: Value<'a>) -> Option<Self> {
        match value {
            Value::Int(number) => Self::try_from(number).ok(),
            Value::UInt(number) => Some(number),
            _ => None,
        }
    }
}

impl<'a> FromValue<'a> for bool {
    fn from_value(value: Value<'a>) -> Option<Self> {
        match value {
            Value::Int(number) => Some(number != 0),
            Value::UInt(number) => Some(number != 0),
            _ => None,
        }
    }
}

impl<'a> FromValue<'a> for f32 {
    fn from_value(value: Value<'a>) -> Option<Self> {
        match value {
            Value::Float(number) => Some(number),
            _ => None,
        }
    }
}

impl<'a> FromValue<'a> for f64 {
    fn from_value(value: Value<'a>) -> Option<Self> {
        match value {
            Value::Float(number) => Some(number.into()),
            Value::Double(number) => Some(number),
            _ => None,
        }
    }
}

impl<'a> FromValue<'a> for &'a [u8] {
    fn from_value(value: Value<'a>) -> Option<Self> {
        match value {
            Value::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }
}

impl<'a> FromValue<'a> for &'a str {
    fn from_value(value: Value<'a>) -> Option<Self> {
        <&[u8]>::from_value(value).and_then(|bytes| std::str::from_utf8(bytes).ok())
    }
}

impl<'a> FromValue<'a> for Vec<u8> {
    fn from_value(value: Value<'a>) -> Option<Self> {
        <&[u8]>::from_value(value).map(<[u8]>::to_vec)
    }
}

impl<'a> FromValue<'a> for String {
    fn from_value(value: Value<'a>) -> Option<Self> {
        <&str>::from_value(value).map(str::to_owned)
    }
}

impl<'a> FromValue<'a> for DateTime {
    fn from_value(value: Value<'a>) -> Option<Self> {
        match value {
            Value::DateTime(moment) => Some(moment),
            _ => None,
        }
    }
}

impl<'a> FromValue<'a> for Clock {
    fn from_value(value: Value<'a>) -> Option<Self> {
        match value {
            Value::Time(span) => Some(span),
            _ => None,
        }
    }
}

impl From<u64> for Value<'_> {
    fn from(number: u64) -> Self {
        Self::UInt(number)
    }
}

impl From<bool> for Value<'_> {
    fn from(flag: bool) -> Self {
        Self::Int(flag.into())
    }
}

impl From<f32> for Value<'_> {
    fn from(number: f32) -> Self {
        Self::Float(number)
    }
}

impl From<f64> for Value<'_> {
    fn from(number: f64) -> Self {
        Self::Double(number)
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Bytes(text.as_bytes())
    }
}

impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes(bytes)
    }
}

impl<T> From<Option<T>> for Value<'_>
where
    Self: From<T>,
{
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Null, Self::from)
    }
}

impl From<DateTime> for Value<'_> {
    fn from(moment: DateTime) -> Self {
        Self::DateTime(moment)
    }
}

impl From<Clock> for Value<'_> {
    fn from(span: Clock) -> Self {
        Self::Time(span)
    }
}

impl Value<'_> {
    fn kind(&self) -> &'static str {
        match self {
            Self::Null => "NULL",
            Self::Int(_) => "an integer",
            Self::UInt(_) => "an unsigned integer",
            Self::Float(_) => "a FLOAT",
            Self::Double(_) => "a DOUBLE",
            Self::Bytes(_) => "text or bytes",
            Self::DateTime(_) => "a date",
            Self::Time(_) => "a time",
        }
    }
}

/// Reads a value as `T`, naming the column where that fails.
pub(crate) fn convert<'a, T: FromValue<'a>>(value: Value<'a>, column: &str) -> Result<T> {
    T::from_value(value).ok_or_else(|| {
        let (kind, wanted) = (value.kind(), std::any::type_name::<T>());
        Error::Conversion(format!("column {column}: {kind} does not fit {wanted}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_convert_only_where_they_fit() {
        assert_eq!(i32::from_value(Value::Int(-7)), Some(-7));
        assert_eq!(i32::from_value(Value::UInt(7)), Some(7));
        assert_eq!(i32::from_value(Value::Int(1 << 31)), None);
        assert_eq!(u8::from_value(Value::Int(-1)), None);
        assert_eq!(u64::from_value(Value::UInt(u64::MAX)), Some(u64::MAX));
        assert_eq!(i64::from_value(Value::UInt(u64::MAX)), None);
        assert_eq!(i32::from_value(Value::Bytes(b"7")), None);
    }

    #[test]
    fn null_needs_an_option() {
        assert_eq!(Option::<i32>::from_value(Value::Null), Some(None));
        assert_eq!(Option::<i32>::from_value(Value::Int(3)), Some(Some(3)));
        assert_eq!(i32::from_value(Value::Null), None);
    }

    #[test]
    fn texts_must_be_utf8() {
        assert_eq!(
            String::from_value(Value::Bytes("é".as_bytes())).as_deref(),
            Some("é")
        );
        assert_eq!(String::from_value(Value::Bytes(b"\xff")), None);
        assert_eq!(Vec::from_value(Value::Bytes(b"\xff")), Some(vec![0xff]));
    }

    #[test]
    fn a_failed_conversion_names_the_column() {
        let error = convert::<i32>(Value::Null, "quantity").unwrap_err();
        assert_eq!(error.to_string(), "column quantity: NULL does not fit i32");
    }

    #[test]
    fn rust_values_become_parameters() {
        assert_eq!(Value::from(-3_i32), Value::Int(-3));
        assert_eq!(Value::from(3_u32), Value::Int(3));
        assert_eq!(Value::from(u64::MAX), Value::UInt(u64::MAX));
        assert_eq!(Value::from(true), Value::Int(1));
        assert_eq!(Value::from(Some("x")), Value::Bytes(b"x"));
        assert_eq!(Value::from(None::<i32>), Value::Null);
    }
}
