//! The restricted unpickler.
//!
//! Works in two steps. The opcodes build a *graph*: containers are nodes, everything else is an item of
//! 16 bytes that points into the message, so a memo reference costs 16 bytes whatever it names, and a list
//! that grows after it was named is the same list everywhere. At STOP the graph below the final item is
//! measured (depth, cycles, size of the tree that it unfolds to), compared with the limits, and only then
//! unfolded (`unfold.rs`). Both steps take time linear in the message and in the value made of it.

use super::item::{Global, Item, Node, NodeKind, Script, Span};
use super::memo::Memo;
use super::opcode as op;
use super::unfold::Info;
use super::{Limits, PickleError};
use crate::Value;
use bytes::Bytes;

/// What a node costs before it is a value, by and large: itself, its items' block, what is known of it.
const NODE: u64 = 96;
/// What a value costs on the stack and in a container.
const ITEM: u64 = 32;

/// Reads consecutive pickles that share one memo, as one Python pickler writes them.
#[derive(Debug)]
pub struct Reader<'a> {
    pub(super) data: &'a [u8],
    /// The same bytes, if long byte strings may share their memory.
    pub(super) shared: Option<&'a Bytes>,
    pub(super) limits: &'a Limits,
    /// The next opcode. Invariant: `at <= data.len()`.
    at: usize,
    /// Where the opcode being executed stands.
    opcode_at: usize,
    pub(super) stack: Vec<Item>,
    /// Heights of the stack at each open MARK, ascending.
    marks: Vec<usize>,
    memo: Memo,
    pub(super) nodes: Vec<Node>,
    /// What is known of each node; at least as long as `nodes` once measuring has begun.
    pub(super) info: Vec<Info>,
    /// Counts the pickles, so that `info` of an earlier one is not believed.
    pub(super) generation: u32,
    /// Values pushed so far, over all pickles.
    pushed: u64,
    /// Values and bytes given out so far, over all pickles.
    pub(super) produced_values: u64,
    pub(super) produced_bytes: u64,
}

impl<'a> Reader<'a> {
    /// A reader of the pickles in `data`.
    #[must_use]
    pub fn new(data: &'a [u8], limits: &'a Limits) -> Reader<'a> {
        Reader {
            data,
            shared: None,
            limits,
            at: 0,
            opcode_at: 0,
            stack: Vec::with_capacity(16),
            marks: Vec::new(),
            memo: Memo::default(),
            nodes: Vec::new(),
            info: Vec::new(),
            generation: 0,
            pushed: 0,
            produced_values: 0,
            produced_bytes: 0,
        }
    }

    /// A reader of the pickles in `data`. A byte string that makes up half of the message or more shares
    /// its memory instead of being copied.
    #[must_use]
    pub fn shared(data: &'a Bytes, limits: &'a Limits) -> Reader<'a> {
        Reader { shared: Some(data), ..Reader::new(data, limits) }
    }

    /// How many bytes have been read.
    #[must_use]
    pub fn position(&self) -> usize {
        self.at
    }

    /// The value of the next pickle, or `None` at the end of the data.
    ///
    /// # Errors
    /// As [`read`](super::read). The limits hold for all pickles together. Nothing is read after an error.
    pub fn next_value(&mut self) -> Result<Option<Value>, PickleError> {
        if self.at == self.data.len() {
            return Ok(None);
        }
        let result = self.run();
        if result.is_err() {
            self.at = self.data.len();
        }
        result.map(Some)
    }

    /// Executes opcodes up to a STOP.
    fn run(&mut self) -> Result<Value, PickleError> {
        if u32::try_from(self.data.len()).is_err() {
            return Err(PickleError::Limit { what: "bytes of message", limit: u64::from(u32::MAX) });
        }
        loop {
            self.opcode_at = self.at;
            let opcode = self.byte()?;
            match opcode {
                op::PROTO => match self.byte()? {
                    0..=3 => {}
                    protocol => return Err(PickleError::Protocol { protocol, at: self.opcode_at }),
                },
                op::STOP => {
                    let top = self.pop()?;
                    // What lies below was begun and given up by a Python 2 pickler.
                    self.stack.clear();
                    self.marks.clear();
                    return self.unfold(top);
                }
                op::NONE => self.push(Item::None)?,
                op::NEWTRUE => self.push(Item::Bool(true))?,
                op::NEWFALSE => self.push(Item::Bool(false))?,
                op::BININT => {
                    let n = i32::from_le_bytes(self.array()?);
                    self.push(Item::Int(i64::from(n)))?;
                }
                op::BININT1 => {
                    let n = self.byte()?;
                    self.push(Item::Int(i64::from(n)))?;
                }
                op::BININT2 => {
                    let n = u16::from_le_bytes(self.array()?);
                    self.push(Item::Int(i64::from(n)))?;
                }
                op::INT => self.int()?,
                op::LONG1 => {
                    let len = u32::from(self.byte()?);
                    self.long(len)?;
                }
                op::LONG4 => {
                    let len = self.length()?;
                    self.long(len)?;
                }
                op::BINFLOAT => {
                    let x = f64::from_be_bytes(self.array()?);
                    self.push(Item::Float(x))?;
                }
                op::BINUNICODE => {
                    let len = u32::from_le_bytes(self.array()?);
                    let span = self.span(len)?;
                    let script =
                        Script::of(span.of(self.data)).ok_or_else(|| self.malformed("text is not UTF-8"))?;
                    self.push(Item::Text(span, script))?;
                }
                op::SHORT_BINSTRING => {
                    let len = u32::from(self.byte()?);
                    let span = self.span(len)?;
                    self.push(Item::Str(span))?;
                }
                op::BINSTRING => {
                    let len = self.length()?;
                    let span = self.span(len)?;
                    self.push(Item::Str(span))?;
                }
                op::SHORT_BINBYTES => {
                    let len = u32::from(self.byte()?);
                    let span = self.span(len)?;
                    self.push(Item::Bytes(span))?;
                }
                op::BINBYTES => {
                    let len = u32::from_le_bytes(self.array()?);
                    let span = self.span(len)?;
                    self.push(Item::Bytes(span))?;
                }
                op::MARK => self.mark()?,
                op::EMPTY_TUPLE => self.push(Item::EmptyTuple)?,
                op::TUPLE1 => self.tuple(1)?,
                op::TUPLE2 => self.tuple(2)?,
                op::TUPLE3 => self.tuple(3)?,
                op::TUPLE => {
                    let mark = self.pop_mark()?;
                    let items = self.stack.split_off(mark);
                    if items.is_empty() {
                        self.push(Item::EmptyTuple)?;
                    } else {
                        let tuple = self.node(NodeKind::Tuple, items)?;
                        self.push(tuple)?;
                    }
                }
                op::EMPTY_LIST => self.push(Item::EmptyList)?,
                op::EMPTY_DICT => self.push(Item::EmptyDict)?,
                op::APPEND => self.extend(NodeKind::List, 1)?,
                op::SETITEM => self.extend(NodeKind::Dict, 2)?,
                op::APPENDS => self.extend_to_mark(NodeKind::List)?,
                op::SETITEMS => self.extend_to_mark(NodeKind::Dict)?,
                op::GLOBAL => {
                    let module = self.line()?;
                    let name = self.line()?;
                    self.push(Item::Global(Global::lookup(module, name)?))?;
                }
                op::REDUCE => self.reduce()?,
                op::BINPUT => {
                    let index = u32::from(self.byte()?);
                    self.put(index)?;
                }
                op::LONG_BINPUT => {
                    let index = u32::from_le_bytes(self.array()?);
                    self.put(index)?;
                }
                op::BINGET => {
                    let index = u32::from(self.byte()?);
                    self.get(index)?;
                }
                op::LONG_BINGET => {
                    let index = u32::from_le_bytes(self.array()?);
                    self.get(index)?;
                }
                opcode => {
                    return Err(PickleError::Opcode {
                        opcode,
                        name: op::refused_name(opcode),
                        at: self.opcode_at,
                    });
                }
            }
        }
    }

    // Bytes.

    fn byte(&mut self) -> Result<u8, PickleError> {
        let byte = *self.data.get(self.at).ok_or(PickleError::Truncated { at: self.data.len() })?;
        self.at += 1;
        Ok(byte)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], PickleError> {
        match self.data[self.at..].first_chunk::<N>() {
            Some(bytes) => {
                self.at += N;
                Ok(*bytes)
            }
            None => Err(PickleError::Truncated { at: self.data.len() }),
        }
    }

    /// The next `len` bytes. The length is only a claim: nothing is reserved for it.
    fn span(&mut self, len: u32) -> Result<Span, PickleError> {
        if self.data.len() - self.at < len as usize {
            return Err(PickleError::Truncated { at: self.data.len() });
        }
        // `run` has refused messages whose positions do not fit.
        let span = Span { start: self.at as u32, len };
        self.at += len as usize;
        Ok(span)
    }

    /// A length that Python writes as a signed integer.
    fn length(&mut self) -> Result<u32, PickleError> {
        u32::try_from(i32::from_le_bytes(self.array()?)).map_err(|_| self.malformed("length is negative"))
    }

    /// Up to the next line feed, which is skipped.
    fn line(&mut self) -> Result<&'a [u8], PickleError> {
        let rest = &self.data[self.at..];
        match rest.iter().position(|&b| b == b'\n') {
            Some(end) => {
                self.at += end + 1;
                Ok(&rest[..end])
            }
            None => Err(PickleError::Truncated { at: self.data.len() }),
        }
    }

    // The stack.

    pub(super) fn push(&mut self, item: Item) -> Result<(), PickleError> {
        self.pushed += 1;
        if self.pushed > self.limits.max_values {
            return Err(PickleError::Limit { what: "values", limit: self.limits.max_values });
        }
        self.stack.push(item);
        Ok(())
    }

    /// A new container.
    pub(super) fn node(&mut self, kind: NodeKind, items: Vec<Item>) -> Result<Item, PickleError> {
        let graph = (self.nodes.len() as u64 * NODE).saturating_add(self.pushed * ITEM);
        if graph > self.limits.max_memory {
            return Err(PickleError::Limit { what: "bytes of values", limit: self.limits.max_memory });
        }
        // Kwargs and their dict are one level.
        let own = u32::from(kind != NodeKind::Kwargs);
        let height = own + self.tallest(&items);
        // A tuple may be the arguments of a constructor, which are no level of the value.
        self.check_height(height - u32::from(kind == NodeKind::Tuple))?;
        // Fewer nodes than bytes in the message, so the number fits.
        let index = self.nodes.len() as u32;
        self.nodes.push(Node { kind, height, items });
        Ok(Item::Node(index))
    }

    /// Makes a node of an empty list or dict that is about to be named or filled, at `at` in the stack.
    fn materialize(&mut self, at: usize) -> Result<(), PickleError> {
        let kind = match self.stack[at] {
            Item::EmptyList => NodeKind::List,
            Item::EmptyDict => NodeKind::Dict,
            _ => return Ok(()),
        };
        self.stack[at] = self.node(kind, Vec::new())?;
        Ok(())
    }

    /// The levels of containers in the tallest of `items`, as far as is known now.
    fn tallest(&self, items: &[Item]) -> u32 {
        items.iter().map(|&item| self.height(item)).max().unwrap_or(0)
    }

    pub(super) fn height(&self, item: Item) -> u32 {
        match item {
            Item::Node(index) => self.nodes[index as usize].height,
            Item::EmptyList | Item::EmptyDict | Item::EmptyKwargs => 1,
            _ => 0,
        }
    }

    pub(super) fn check_height(&self, height: u32) -> Result<(), PickleError> {
        if height as usize > self.limits.max_depth {
            return Err(PickleError::Limit {
                what: "levels of nesting",
                limit: self.limits.max_depth as u64,
            });
        }
        Ok(())
    }

    /// Checks that `n` items stand above the last open MARK, and says where they begin.
    pub(super) fn top(&self, n: usize) -> Result<usize, PickleError> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.len().checked_sub(n) {
            Some(start) if start >= floor => Ok(start),
            _ => Err(self.malformed("nothing on the stack for this opcode")),
        }
    }

    fn pop(&mut self) -> Result<Item, PickleError> {
        self.top(1)?;
        self.stack.pop().ok_or_else(|| self.malformed("nothing on the stack for this opcode"))
    }

    fn mark(&mut self) -> Result<(), PickleError> {
        // One for each container being read, and those that a Python 2 pickler gave up.
        let limit = self.limits.max_depth.saturating_mul(2).saturating_add(16);
        if self.marks.len() >= limit {
            return Err(PickleError::Limit { what: "open marks", limit: limit as u64 });
        }
        self.marks.push(self.stack.len());
        Ok(())
    }

    fn pop_mark(&mut self) -> Result<usize, PickleError> {
        self.marks.pop().ok_or_else(|| self.malformed("no mark for this opcode"))
    }

    // The memo.

    fn put(&mut self, index: u32) -> Result<(), PickleError> {
        let top = self.top(1)?;
        self.materialize(top)?;
        self.memo.put(index, self.stack[top]);
        Ok(())
    }

    fn get(&mut self, index: u32) -> Result<(), PickleError> {
        let item = self.memo.get(index).ok_or_else(|| self.malformed("no such memo entry"))?;
        self.push(item)
    }

    // Values.

    fn int(&mut self) -> Result<(), PickleError> {
        let item = match self.line()? {
            // How protocols 0 and 1 write booleans.
            b"00" => Item::Bool(false),
            b"01" => Item::Bool(true),
            digits => std::str::from_utf8(digits)
                .ok()
                .and_then(|digits| digits.parse().ok())
                .map(Item::Int)
                .ok_or_else(|| self.malformed("not the digits of a 64-bit integer"))?,
        };
        self.push(item)
    }

    fn long(&mut self, len: u32) -> Result<(), PickleError> {
        if len as usize > self.limits.max_long {
            let limit = self.limits.max_long as u64;
            return Err(PickleError::Limit { what: "bytes of one integer", limit });
        }
        let span = self.span(len)?;
        let bytes = span.of(self.data);
        let item = if bytes.len() <= 8 {
            let negative = bytes.last().is_some_and(|top| top & 0x80 != 0);
            let mut whole = [if negative { 0xff } else { 0 }; 8];
            whole[..bytes.len()].copy_from_slice(bytes);
            Item::Int(i64::from_le_bytes(whole))
        } else {
            Item::Long(span)
        };
        self.push(item)
    }

    fn tuple(&mut self, n: usize) -> Result<(), PickleError> {
        let start = self.top(n)?;
        let items = self.stack[start..].to_vec();
        self.stack.truncate(start);
        let tuple = self.node(NodeKind::Tuple, items)?;
        self.push(tuple)
    }

    /// Moves the `n` items on top into the container below them.
    fn extend(&mut self, kind: NodeKind, n: usize) -> Result<(), PickleError> {
        let start = self.top(n + 1)? + 1;
        self.extend_from(kind, start)
    }

    fn extend_to_mark(&mut self, kind: NodeKind) -> Result<(), PickleError> {
        let start = self.pop_mark()?;
        if start == 0 || self.marks.last().is_some_and(|&floor| floor >= start) {
            return Err(self.malformed("nothing on the stack for this opcode"));
        }
        self.extend_from(kind, start)
    }

    fn extend_from(&mut self, kind: NodeKind, start: usize) -> Result<(), PickleError> {
        if start == self.stack.len() {
            // Nothing to add; CPython does not look at the container either.
            return Ok(());
        }
        self.materialize(start - 1)?;
        let Item::Node(index) = self.stack[start - 1] else {
            return Err(self.malformed("items for what is not a list or dict"));
        };
        if self.nodes[index as usize].kind != kind {
            return Err(self.malformed("items for what is not a list or dict"));
        }
        let items = &self.stack[start..];
        if kind == NodeKind::Dict && !items.len().is_multiple_of(2) {
            return Err(self.malformed("a key without a value"));
        }
        let height = self.nodes[index as usize].height.max(1 + self.tallest(items));
        self.check_height(height)?;
        let node = &mut self.nodes[index as usize];
        node.height = height;
        if node.items.is_empty() {
            // Most are filled at once.
            node.items.reserve_exact(items.len());
        }
        node.items.extend_from_slice(items);
        self.stack.truncate(start);
        Ok(())
    }

    #[cold]
    pub(super) fn malformed(&self, problem: &'static str) -> PickleError {
        PickleError::Malformed { problem, at: self.opcode_at }
    }
}
