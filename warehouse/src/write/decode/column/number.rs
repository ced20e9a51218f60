//! Columns of numbers and booleans: exact, or not at all.

use arrow::array::{ArrayRef, ArrowPrimitiveType};
use arrow::datatypes::{Decimal128Type, Float32Type, Float64Type, Int32Type};

use super::super::number::{DIGITS_MAX, NumberFault, scaled, short};
use super::super::reason::{BadValue, quoted, shown};
use super::buffer::{Bits, Values};
use super::sink::{Sink, Written};
use crate::schema::YEAR_BOUNDS;

/// What every column says of its buffer.
macro_rules! buffer {
    ($buffer:ident) => {
        fn len(&self) -> usize {
            self.$buffer.len()
        }
        fn reserve(&mut self, rows: usize) {
            self.$buffer.reserve(rows);
        }
        fn truncate(&mut self, len: usize) {
            self.$buffer.truncate(len);
        }
        fn finish(&mut self) -> ArrayRef {
            self.$buffer.finish()
        }
        fn null(&mut self) {
            self.$buffer.push_null();
        }
    };
}
pub(super) use buffer;

/// A number's fault, as its column says it.
fn fault(fault: NumberFault, found: &str, kind: &str) -> Box<BadValue> {
    match fault {
        NumberFault::NotANumber => BadValue::wrong_type(quoted(found), kind),
        NumberFault::Fraction => BadValue::fraction(shown(found), kind),
        NumberFault::Range => BadValue::out_of_range(shown(found), kind),
    }
    .into()
}

/// BOOLEAN, which in MySQL is TINYINT(1): `true` and `false`, and for them 1 and 0.
pub(in super::super) struct BooleanColumn {
    pub(super) bits: Bits,
}

impl Sink for BooleanColumn {
    buffer!(bits);

    fn name(&self) -> &str {
        "boolean"
    }

    fn boolean(&mut self, value: bool) -> Written {
        self.bits.push(value);
        Ok(())
    }

    fn number(&mut self, text: &str) -> Written {
        match scaled(text, 0, DIGITS_MAX) {
            Ok(value @ (0 | 1)) => self.boolean(value == 1),
            Ok(_) => Err(BadValue::out_of_range(shown(text), self.name()).into()),
            Err(why) => Err(fault(why, text, self.name())),
        }
    }
}

/// TINYINT to BIGINT: numbers that are whole, however they are written, and within the bounds of the SQL type.
pub(in super::super) struct IntegerColumn<T: ArrowPrimitiveType> {
    pub(super) values: Values<T>,
    pub(super) bounds: (i128, i128),
    pub(super) name: String,
}

impl<T: ArrowPrimitiveType> Sink for IntegerColumn<T>
where
    T::Native: TryFrom<i128>,
{
    buffer!(values);

    fn name(&self) -> &str {
        &self.name
    }

    fn number(&mut self, text: &str) -> Written {
        let value = match short(text) {
            Some(value) => i128::from(value),
            None => scaled(text, 0, DIGITS_MAX).map_err(|why| fault(why, text, &self.name))?,
        };
        if let Ok(native) = T::Native::try_from(value)
            && (self.bounds.0..=self.bounds.1).contains(&value)
        {
            self.values.push(native);
            return Ok(());
        }
        Err(BadValue::out_of_range(shown(text), &self.name).into())
    }
}

/// YEAR: 1901 to 2155, and 0.
pub(in super::super) struct YearColumn {
    pub(super) values: Values<Int32Type>,
}

/// A YEAR's value.
pub(in super::super) fn year_value(value: i128) -> Option<i32> {
    let year = i32::try_from(value).ok()?;
    (year == 0 || (YEAR_BOUNDS.0..=YEAR_BOUNDS.1).contains(&year)).then_some(year)
}

impl Sink for YearColumn {
    buffer!(values);

    fn name(&self) -> &str {
        "year"
    }

    fn number(&mut self, text: &str) -> Written {
        let value = scaled(text, 0, DIGITS_MAX).map_err(|why| fault(why, text, self.name()))?;
        let year = year_value(value).ok_or_else(|| BadValue::out_of_range(shown(text), self.name()))?;
        self.values.push(year);
        Ok(())
    }
}

/// DOUBLE: the nearest 64-bit value.
pub(in super::super) struct DoubleColumn {
    pub(super) values: Values<Float64Type>,
}

impl Sink for DoubleColumn {
    buffer!(values);

    fn name(&self) -> &str {
        "double"
    }

    fn number(&mut self, text: &str) -> Written {
        match text.parse::<f64>() {
            Ok(value) if value.is_finite() => {
                self.values.push(value);
                Ok(())
            }
            _ => Err(BadValue::out_of_range(shown(text), self.name()).into()),
        }
    }
}

/// FLOAT: the nearest 32-bit value; not the nearest to the nearest 64-bit one, which can be another.
pub(in super::super) struct FloatColumn {
    pub(super) values: Values<Float32Type>,
}

impl Sink for FloatColumn {
    buffer!(values);

    fn name(&self) -> &str {
        "float"
    }

    fn number(&mut self, text: &str) -> Written {
        match text.parse::<f32>() {
            Ok(value) if value.is_finite() => {
                self.values.push(value);
                Ok(())
            }
            _ => Err(BadValue::out_of_range(shown(text), self.name()).into()),
        }
    }
}

/// DECIMAL: a number, or a string that holds one, to the last digit.
pub(in super::super) struct DecimalColumn {
    pub(super) values: Values<Decimal128Type>,
    pub(super) precision: u8,
    pub(super) scale: u8,
    pub(super) name: String,
}

impl Sink for DecimalColumn {
    buffer!(values);

    fn name(&self) -> &str {
        &self.name
    }

    fn number(&mut self, text: &str) -> Written {
        self.values.push(scaled(text, self.scale, self.precision).map_err(|why| fault(why, text, &self.name))?);
        Ok(())
    }

    fn text(&mut self, text: &str) -> Written {
        self.number(text)
    }
}
