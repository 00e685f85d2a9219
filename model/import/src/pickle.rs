//! Enough of Python's pickle to read a dictionary of tensors. Nothing is run: names of functions stay names, and only
//! the few that rebuild tensors mean something.
//!
//! Values live in one list and refer to each other by index, so nesting of any depth costs no stack.

use std::collections::HashMap;

/// More values than any state dictionary has.
const MAXIMUM_VALUES: usize = 1 << 20;
/// More dimensions than any tensor of a network has. What is referred to many times must not be copied as often unless it
/// is short.
const MAXIMUM_DIMENSIONS: usize = 8;
/// Longest name of a class or function.
const MAXIMUM_NAME: usize = 256;

/// Index of a value.
pub(crate) type Id = usize;

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// Anything without meaning here: `None`, floats, objects of unknown classes.
    Opaque,
    /// A number or a truth value.
    Integer(i64),
    Text(String),
    /// A tuple or a list.
    Sequence(Vec<Id>),
    /// A dictionary, in the order of insertion.
    Dictionary(Vec<(Id, Id)>),
    /// The name of a class or function, `module name`.
    Name(String),
    /// What a persistent id stands for: the storage of tensors.
    Persistent(Id),
    /// A view of a storage.
    Tensor {
        /// The storage's persistent id.
        storage: Id,
        /// First element.
        offset: u64,
        /// Sizes of the dimensions.
        shape: Vec<usize>,
        /// Elements between neighbours in each dimension.
        stride: Vec<usize>,
    },
}

/// A pickle that was read.
#[derive(Debug)]
pub(crate) struct Pickle {
    values: Vec<Value>,
    /// The value that it holds.
    pub(crate) root: Id,
    /// Bytes that it took.
    pub(crate) length: usize,
}

impl Pickle {
    pub(crate) fn value(&self, id: Id) -> &Value {
        &self.values[id]
    }

    /// The text that a value is.
    pub(crate) fn text(&self, id: Id) -> Option<&str> {
        match &self.values[id] {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}

#[derive(Default)]
struct Reader<'b> {
    bytes: &'b [u8],
    at: usize,
    values: Vec<Value>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: HashMap<u64, Id>,
}

/// A little-endian number of at most 8 bytes.
fn little_endian(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn pairs(items: &[Id]) -> impl Iterator<Item = (Id, Id)> {
    items.chunks_exact(2).map(|pair| (pair[0], pair[1]))
}

impl<'b> Reader<'b> {
    fn take(&mut self, length: u64) -> Result<&'b [u8], String> {
        let rest = &self.bytes[self.at..];
        let length = usize::try_from(length).ok().filter(|length| *length <= rest.len());
        let length = length.ok_or("the pickle is cut short")?;
        self.at += length;
        Ok(&rest[..length])
    }

    fn number(&mut self, width: u64) -> Result<u64, String> {
        Ok(little_endian(self.take(width)?))
    }

    fn line(&mut self) -> Result<String, String> {
        let end = self.bytes[self.at..].iter().position(|byte| *byte == b'\n');
        let line = self.take(end.ok_or("the pickle is cut short")? as u64)?;
        self.at += 1;
        Ok(String::from_utf8_lossy(line).into_owned())
    }

    /// Bytes behind their length, which is a number of `width` bytes.
    fn sized(&mut self, width: u64) -> Result<&'b [u8], String> {
        let length = self.number(width)?;
        self.take(length)
    }

    fn text(&mut self, width: u64) -> Result<Value, String> {
        Ok(Value::Text(String::from_utf8_lossy(self.sized(width)?).into_owned()))
    }

    /// Longer ones than 8 bytes (PyTorch's magic number) are only told apart.
    fn long(&mut self) -> Result<Value, String> {
        let bytes = self.sized(1)?;
        let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
        let sign = if negative { -1i64 } else { 0 };
        let number = bytes.iter().rev().fold(sign, |n, byte| n << 8 | i64::from(*byte));
        Ok(Value::Integer(number))
    }

    fn push(&mut self, value: Value) -> Result<(), String> {
        if self.values.len() >= MAXIMUM_VALUES {
            return Err(format!("more than {MAXIMUM_VALUES} values"));
        }
        self.values.push(value);
        self.stack.push(self.values.len() - 1);
        Ok(())
    }

    fn pop(&mut self) -> Result<Id, String> {
        let above_mark = self.stack.len() > self.marks.last().copied().unwrap_or(0);
        let top = self.stack.pop().filter(|_| above_mark);
        top.ok_or_else(|| "the pickle takes more than it put".into())
    }

    fn top(&self) -> Result<Id, String> {
        let top = self.stack.last().copied();
        top.ok_or_else(|| "the pickle changes what it did not put".into())
    }

    /// What was put since the last mark.
    fn since_mark(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.marks.pop().filter(|mark| *mark <= self.stack.len());
        Ok(self.stack.split_off(mark.ok_or("the pickle misses a mark")?))
    }

    fn extend(&mut self, items: &[Id]) -> Result<(), String> {
        let into = self.top()?;
        match &mut self.values[into] {
            Value::Sequence(list) => list.extend(items),
            Value::Dictionary(entries) => entries.extend(pairs(items)),
            // Items of an unknown class.
            _ => {}
        }
        Ok(())
    }

    /// A class or function that is named on the stack.
    fn name(&mut self) -> Result<Value, String> {
        let (name, module) = (self.pop()?, self.pop()?);
        match (&self.values[module], &self.values[name]) {
            (Value::Text(module), Value::Text(name)) if module.len() + name.len() > MAXIMUM_NAME => Ok(Value::Opaque),
            (Value::Text(module), Value::Text(name)) => Ok(Value::Name(format!("{module} {name}"))),
            _ => Err("a name that is no text".into()),
        }
    }

    fn sequence(&self, id: Id) -> Option<&[Id]> {
        match &self.values[id] {
            Value::Sequence(items) => Some(items),
            _ => None,
        }
    }

    fn sizes(&self, id: Id) -> Option<Vec<usize>> {
        let size = |item: &Id| match self.values[*item] {
            Value::Integer(size) => usize::try_from(size).ok(),
            _ => None,
        };
        let items = self.sequence(id).filter(|items| items.len() <= MAXIMUM_DIMENSIONS);
        items?.iter().map(size).collect()
    }

    /// Stands for a call: what the few functions give that matter.
    fn call(&mut self) -> Result<Value, String> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let Value::Name(name) = &self.values[function] else {
            return Ok(Value::Opaque);
        };
        let arguments = self.sequence(arguments).unwrap_or_default();
        let made = match name.as_str() {
            "collections OrderedDict" => Some(Value::Dictionary(Vec::new())),
            "torch._utils _rebuild_parameter" => arguments.first().map(|tensor| self.values[*tensor].clone()),
            "torch._utils _rebuild_tensor_v2" => self.tensor(arguments),
            _ => None,
        };
        Ok(made.unwrap_or(Value::Opaque))
    }

    fn tensor(&self, arguments: &[Id]) -> Option<Value> {
        let [storage, offset, shape, stride, ..] = arguments else {
            return None;
        };
        let (Value::Persistent(storage), Value::Integer(offset)) = (&self.values[*storage], &self.values[*offset])
        else {
            return None;
        };
        Some(Value::Tensor {
            storage: *storage,
            offset: u64::try_from(*offset).ok()?,
            shape: self.sizes(*shape)?,
            stride: self.sizes(*stride)?,
        })
    }

    /// Does what an instruction other than the last says.
    fn step(&mut self, code: u8) -> Result<(), String> {
        let value = match code {
            // Protocol and frame say nothing that is needed.
            0x80 => return self.take(1).map(drop),
            0x95 => return self.take(8).map(drop),
            b'(' => {
                self.marks.push(self.stack.len());
                return Ok(());
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                return self.extend(&[key, value]);
            }
            b'a' => {
                let item = self.pop()?;
                return self.extend(&[item]);
            }
            b'u' | b'e' => {
                let items = self.since_mark()?;
                return self.extend(&items);
            }
            b'q' | b'r' | 0x94 => {
                let key = match code {
                    b'q' => self.number(1)?,
                    b'r' => self.number(4)?,
                    _ => self.memo.len() as u64,
                };
                let top = self.top()?;
                self.memo.insert(key, top);
                return Ok(());
            }
            b'h' | b'j' => {
                let key = self.number(if code == b'h' { 1 } else { 4 })?;
                let id = self.memo.get(&key).ok_or("the pickle recalls what it did not keep")?;
                self.stack.push(*id);
                return Ok(());
            }
            // The state of an object, in which no tensor is, or what is thrown away.
            b'b' | b'0' => return self.pop().map(drop),
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
                return Ok(());
            }
            b'N' => Value::Opaque,
            b'G' => {
                self.take(8)?;
                Value::Opaque
            }
            0x88 => Value::Integer(1),
            0x89 => Value::Integer(0),
            b'J' => Value::Integer((self.number(4)? as u32 as i32).into()),
            b'K' => Value::Integer(self.number(1)? as i64),
            b'M' => Value::Integer(self.number(2)? as i64),
            0x8a => self.long()?,
            0x8c | b'U' | b'C' => self.text(1)?,
            b'X' | b'T' | b'B' => self.text(4)?,
            0x8d => self.text(8)?,
            b'}' => Value::Dictionary(Vec::new()),
            b']' | b')' => Value::Sequence(Vec::new()),
            b't' | b'l' => Value::Sequence(self.since_mark()?),
            b'd' => Value::Dictionary(pairs(&self.since_mark()?).collect()),
            0x85..=0x87 => {
                let mut items = (0..code - 0x84).map(|_| self.pop()).collect::<Result<Vec<_>, _>>()?;
                items.reverse();
                Value::Sequence(items)
            }
            b'c' => Value::Name(format!("{} {}", self.line()?, self.line()?)),
            0x93 => self.name()?,
            b'R' | 0x81 => self.call()?,
            b'Q' => Value::Persistent(self.pop()?),
            other => {
                return Err(format!(
                    "a pickle with the instruction {other:#04x}, which no state dictionary has"
                ));
            }
        };
        self.push(value)
    }
}

/// Reads the pickle that the bytes begin with.
///
/// # Errors
/// Says in words what is wrong with it.
pub(crate) fn read(bytes: &[u8]) -> Result<Pickle, String> {
    let mut reader = Reader {
        bytes,
        ..Reader::default()
    };
    loop {
        match reader.number(1)? as u8 {
            b'.' => break,
            code => reader.step(code)?,
        }
    }
    Ok(Pickle {
        root: reader.pop()?,
        values: reader.values,
        length: reader.at,
    })
}

#[cfg(test)]
mod tests;
