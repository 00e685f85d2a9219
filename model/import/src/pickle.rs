//! Enough of Python's pickle to read a dictionary of tensors. Nothing is run: names of functions stay names, and only
//! the few that rebuild tensors mean something.
//!
//! Values live in one list and refer to each other by index, so nesting of any depth costs no stack.

use std::collections::HashMap;

/// More values than any state dictionary has.
const MAXIMUM_VALUES: usize = 4 << 20;

/// Index of a value.
pub type Id = usize;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Anything without meaning here: `None`, floats, objects of unknown classes.
    Opaque,
    /// A number or a truth value.
    Integer(i64),
    /// Text.
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
pub struct Pickle {
    values: Vec<Value>,
    /// The value that it holds.
    pub root: Id,
    /// Bytes that it took.
    pub length: usize,
}

impl Pickle {
    /// A value.
    pub fn value(&self, id: Id) -> &Value {
        &self.values[id]
    }

    /// The text that a value is.
    pub fn text(&self, id: Id) -> Option<&str> {
        match &self.values[id] {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}

struct Reader<'b> {
    bytes: &'b [u8],
    at: usize,
    values: Vec<Value>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: HashMap<u64, Id>,
}

impl Reader<'_> {
    fn take(&mut self, length: usize) -> Result<&[u8], String> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or("the pickle is cut short")?;
        let bytes = &self.bytes[self.at..end];
        self.at = end;
        Ok(bytes)
    }

    fn number(&mut self, length: usize) -> Result<u64, String> {
        Ok(self
            .take(length)?
            .iter()
            .rev()
            .fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn line(&mut self) -> Result<String, String> {
        let rest = &self.bytes[self.at..];
        let end = rest
            .iter()
            .position(|byte| *byte == b'\n')
            .ok_or("the pickle is cut short")?;
        let line = String::from_utf8_lossy(&rest[..end]).into_owned();
        self.at += end + 1;
        Ok(line)
    }

    fn text(&mut self, length: u64) -> Result<(), String> {
        let length = usize::try_from(length).map_err(|_| "a text without end")?;
        let text = String::from_utf8_lossy(self.take(length)?).into_owned();
        self.push(Value::Text(text))
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
        if self.marks.last().is_some_and(|mark| *mark >= self.stack.len()) {
            return Err("the pickle takes more than it put".into());
        }
        self.stack
            .pop()
            .ok_or_else(|| "the pickle takes more than it put".into())
    }

    fn top(&self) -> Result<Id, String> {
        self.stack
            .last()
            .copied()
            .ok_or_else(|| "the pickle changes what it did not put".into())
    }

    /// What was put since the last mark.
    fn since_mark(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.marks.pop().ok_or("the pickle misses a mark")?;
        if mark > self.stack.len() {
            return Err("the pickle misses a mark".into());
        }
        Ok(self.stack.split_off(mark))
    }

    fn extend(&mut self, into: Id, items: &[Id]) {
        match &mut self.values[into] {
            Value::Sequence(list) => list.extend(items),
            Value::Dictionary(entries) => {
                entries.extend(items.chunks_exact(2).map(|pair| (pair[0], pair[1])));
            }
            // Items of an unknown class.
            _ => {}
        }
    }

    fn sequence(&self, id: Id) -> Option<&[Id]> {
        match &self.values[id] {
            Value::Sequence(items) => Some(items),
            _ => None,
        }
    }

    fn sizes(&self, id: Id) -> Option<Vec<usize>> {
        let items = self.sequence(id)?.iter();
        items
            .map(|item| match self.values[*item] {
                Value::Integer(size) => usize::try_from(size).ok(),
                _ => None,
            })
            .collect()
    }

    /// Stands for a call: what the few functions give that matter.
    fn call(&self, function: Id, arguments: Id) -> Value {
        let Value::Name(name) = &self.values[function] else {
            return Value::Opaque;
        };
        let arguments = self.sequence(arguments).unwrap_or_default();
        match name.as_str() {
            "collections OrderedDict" => Value::Dictionary(Vec::new()),
            "torch._utils _rebuild_parameter" => match arguments.first() {
                Some(tensor) => self.values[*tensor].clone(),
                None => Value::Opaque,
            },
            "torch._utils _rebuild_tensor_v2" => self.tensor(arguments).unwrap_or(Value::Opaque),
            _ => Value::Opaque,
        }
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
}

/// Reads the pickle that the bytes begin with.
///
/// # Errors
/// Says in words what is wrong with it.
pub fn read(bytes: &[u8]) -> Result<Pickle, String> {
    let mut r = Reader {
        bytes,
        at: 0,
        values: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
    };
    loop {
        let code = r.take(1)?[0];
        match code {
            // Protocol and frame say nothing that is needed.
            0x80 => {
                r.take(1)?;
            }
            0x95 => {
                r.take(8)?;
            }
            b'.' => {
                let root = r.pop()?;
                return Ok(Pickle {
                    values: r.values,
                    root,
                    length: r.at,
                });
            }
            b'(' => r.marks.push(r.stack.len()),
            b'N' => r.push(Value::Opaque)?,
            0x88 => r.push(Value::Integer(1))?,
            0x89 => r.push(Value::Integer(0))?,
            b'J' => {
                let number = r.number(4)? as u32 as i32;
                r.push(Value::Integer(number.into()))?;
            }
            b'K' | b'M' => {
                let number = r.number(if code == b'K' { 1 } else { 2 })?;
                r.push(Value::Integer(number as i64))?;
            }
            0x8a => {
                let length = r.number(1)? as usize;
                let bytes = r.take(length)?;
                let number = bytes.iter().rev().fold(
                    if bytes.last().is_some_and(|b| b & 0x80 != 0) {
                        -1i64
                    } else {
                        0
                    },
                    |n, b| n << 8 | i64::from(*b),
                );
                // Longer ones (PyTorch's magic number) are only told apart.
                r.push(Value::Integer(number))?;
            }
            b'G' => {
                r.take(8)?;
                r.push(Value::Opaque)?;
            }
            b'X' | b'T' | b'B' => {
                let length = r.number(4)?;
                r.text(length)?;
            }
            0x8c | b'U' | b'C' => {
                let length = r.number(1)?;
                r.text(length)?;
            }
            0x8d => {
                let length = r.number(8)?;
                r.text(length)?;
            }
            b'}' => r.push(Value::Dictionary(Vec::new()))?,
            b']' | b')' => r.push(Value::Sequence(Vec::new()))?,
            b't' | b'l' => {
                let items = r.since_mark()?;
                r.push(Value::Sequence(items))?;
            }
            b'd' => {
                let items = r.since_mark()?;
                r.push(Value::Dictionary(
                    items.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect(),
                ))?;
            }
            0x85..=0x87 => {
                let mut items = (0..code - 0x84).map(|_| r.pop()).collect::<Result<Vec<_>, _>>()?;
                items.reverse();
                r.push(Value::Sequence(items))?;
            }
            b's' => {
                let (value, key) = (r.pop()?, r.pop()?);
                r.extend(r.top()?, &[key, value]);
            }
            b'a' => {
                let item = r.pop()?;
                r.extend(r.top()?, &[item]);
            }
            b'u' | b'e' => {
                let items = r.since_mark()?;
                r.extend(r.top()?, &items);
            }
            b'q' | b'r' | 0x94 => {
                let key = match code {
                    b'q' => r.number(1)?,
                    b'r' => r.number(4)?,
                    _ => r.memo.len() as u64,
                };
                let top = r.top()?;
                r.memo.insert(key, top);
            }
            b'h' | b'j' => {
                let key = r.number(if code == b'h' { 1 } else { 4 })?;
                let id = *r.memo.get(&key).ok_or("the pickle recalls what it did not keep")?;
                r.stack.push(id);
            }
            b'c' => {
                let (module, name) = (r.line()?, r.line()?);
                r.push(Value::Name(format!("{module} {name}")))?;
            }
            0x93 => {
                let (name, module) = (r.pop()?, r.pop()?);
                let name = match (&r.values[module], &r.values[name]) {
                    (Value::Text(module), Value::Text(name)) => format!("{module} {name}"),
                    _ => return Err("a name that is no text".into()),
                };
                r.push(Value::Name(name))?;
            }
            b'R' | 0x81 => {
                let (arguments, function) = (r.pop()?, r.pop()?);
                let result = r.call(function, arguments);
                r.push(result)?;
            }
            // The state of an object: no tensor is in it.
            b'b' => {
                r.pop()?;
            }
            b'0' => {
                r.pop()?;
            }
            b'2' => {
                let top = r.top()?;
                r.stack.push(top);
            }
            b'Q' => {
                let id = r.pop()?;
                r.push(Value::Persistent(id))?;
            }
            other => {
                return Err(format!(
                    "a pickle with the instruction {other:#04x}, which no state dictionary has"
                ));
            }
        }
    }
}
