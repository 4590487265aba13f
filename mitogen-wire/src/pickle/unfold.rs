//! The reader's second step: from the graph that the opcodes built to the tree that a [`Value`] is.

use super::PickleError;
use super::item::{Item, NodeKind, Script, Span};
use super::reader::Reader;
use crate::value::{BigInt, Secret};
use crate::{ContextId, Handle, Value};
use bytes::Bytes;

/// What a list, dict or tuple spends on each value in it.
const SLOT: u64 = size_of::<Value>() as u64;
/// What `Kwargs` spends beyond that on each key.
const KEY: u64 = size_of::<String>() as u64;

/// What is known of a node after it was measured.
#[derive(Clone, Debug, Default)]
pub(super) struct Info {
    /// The pickle that all of this was found out for; 0 for none.
    generation: u32,
    /// Some of the nodes below are not measured yet; meeting it again is a cycle.
    open: bool,
    hashable: bool,
    /// Levels of containers, itself included.
    height: u32,
    /// How many containers hold it and have not been built.
    uses: u32,
    /// Its place in the order of building.
    place: u32,
    /// Values in the tree below it, and bytes that they take, saturating.
    values: u64,
    bytes: u64,
}

/// The values of nodes, each from when it is built to when the last container that holds it takes it.
type Built = Vec<Option<Value>>;

impl Reader<'_> {
    /// Makes a value of `top`, if the limits allow it.
    pub(super) fn unfold(&mut self, top: Item) -> Result<Value, PickleError> {
        let Item::Node(root) = top else {
            self.check_height(self.height(top))?;
            self.charge(1, SLOT + self.weigh(top)?)?;
            return Ok(self.leaf(top));
        };
        let order = self.measure(root)?;
        let info = &mut self.info[root as usize];
        info.uses = 1;
        let (values, bytes) = (info.values.saturating_add(1), info.bytes.saturating_add(SLOT));
        self.charge(values, bytes)?;
        let mut built = Built::with_capacity(order.len());
        for &index in &order {
            let value = self.build(index, &mut built)?;
            built.push(Some(value));
        }
        Ok(self.take(root, &mut built))
    }

    /// Books what is about to be given out.
    fn charge(&mut self, values: u64, bytes: u64) -> Result<(), PickleError> {
        self.produced_values = self.produced_values.saturating_add(values);
        self.produced_bytes = self.produced_bytes.saturating_add(bytes);
        if self.produced_values > self.limits.max_values {
            return Err(PickleError::Limit { what: "values", limit: self.limits.max_values });
        }
        let earned = self.limits.growth.saturating_mul(self.data.len() as u64);
        let allowed = self.limits.max_memory.min(self.limits.free_memory.saturating_add(earned));
        if self.produced_bytes > allowed {
            return Err(PickleError::Limit { what: "bytes of values", limit: allowed });
        }
        Ok(())
    }

    /// Finds out all about `root` and what is below it: its nodes, each once, children before parents.
    fn measure(&mut self, root: u32) -> Result<Vec<u32>, PickleError> {
        self.generation += 1;
        self.info.resize(self.nodes.len(), Info::default());
        self.open(root);
        let mut order = Vec::with_capacity(self.nodes.len().min(64));
        // The nodes from the root to the one being looked at, with the next item to look at in each.
        let mut path = vec![(root, 0_usize)];
        while let Some((index, next)) = path.last_mut() {
            let node = &self.nodes[*index as usize];
            let below = node.items[*next..].iter().position(|item| matches!(item, Item::Node(_)));
            let Some(skip) = below else {
                let index = *index;
                path.pop();
                self.close(index)?;
                self.info[index as usize].place = order.len() as u32;
                order.push(index);
                continue;
            };
            let Item::Node(child) = node.items[*next + skip] else { unreachable!("position() found a node") };
            *next += skip + 1;
            let info = &mut self.info[child as usize];
            if info.generation != self.generation {
                // Loosely, as Kwargs and its dict are one level; `close` knows exactly.
                if path.len() > self.limits.max_depth.saturating_mul(2) {
                    self.check_height(u32::MAX)?;
                }
                self.open(child);
                path.push((child, 0));
            } else if info.open {
                let kind = if self.nodes[child as usize].kind == NodeKind::Dict { "dict" } else { "list" };
                return Err(PickleError::Cycle { kind });
            }
            self.info[child as usize].uses += 1;
        }
        Ok(order)
    }

    fn open(&mut self, index: u32) {
        self.info[index as usize] = Info { generation: self.generation, open: true, ..Info::default() };
    }

    /// Sums up a node, all nodes below which are summed up already.
    fn close(&mut self, index: u32) -> Result<(), PickleError> {
        let node = &self.nodes[index as usize];
        let n = node.items.len() as u64;
        let mut sum =
            Info { generation: self.generation, hashable: node.kind == NodeKind::Tuple, ..Info::default() };
        sum.uses = self.info[index as usize].uses;
        sum.values = n;
        sum.bytes = n * SLOT;
        for (i, &item) in node.items.iter().enumerate() {
            let hashable = match item {
                Item::Node(child) => {
                    let child = &self.info[child as usize];
                    sum.values = sum.values.saturating_add(child.values);
                    sum.bytes = sum.bytes.saturating_add(child.bytes);
                    sum.height = sum.height.max(child.height);
                    child.hashable
                }
                Item::EmptyList | Item::EmptyDict | Item::EmptyKwargs => {
                    sum.height = sum.height.max(1);
                    false
                }
                leaf => {
                    sum.bytes = sum.bytes.saturating_add(self.weigh(leaf)?);
                    true
                }
            };
            sum.hashable &= hashable;
            if node.kind == NodeKind::Dict && i % 2 == 0 && !hashable {
                let kind = match item {
                    Item::EmptyList => "a list",
                    Item::Node(key) if self.nodes[key as usize].kind == NodeKind::List => "a list",
                    Item::Node(key) if self.nodes[key as usize].kind == NodeKind::Tuple => {
                        "a tuple of lists or dicts"
                    }
                    _ => "a dict",
                };
                return Err(PickleError::UnhashableKey { kind });
            }
        }
        if node.kind == NodeKind::Kwargs {
            // It is its dict, with keys of another type.
            sum.bytes = sum.bytes.saturating_add(sum.values.saturating_mul(KEY));
        } else {
            sum.height += 1;
        }
        self.check_height(sum.height)?;
        self.info[index as usize] = sum;
        Ok(())
    }

    /// The bytes that an item other than a node takes besides its slot.
    fn weigh(&self, item: Item) -> Result<u64, PickleError> {
        Ok(match item {
            Item::Text(span, Script::Surrogates) => {
                // The opcode and four bytes of length stand before the text.
                return Err(PickleError::Surrogate { at: span.start as usize - 5 });
            }
            Item::Long(span)
            | Item::Str(span)
            | Item::Bytes(span)
            | Item::Latin1(span)
            | Item::Text(span, _)
            | Item::CallError(span, _)
            | Item::NamedContext(_, span)
            | Item::Blob(span, _)
            | Item::Secret(span) => u64::from(span.len),
            Item::Global(global) => {
                return Err(PickleError::Constructor {
                    name: global.name(),
                    problem: "a class is no value to send",
                });
            }
            _ => 0,
        })
    }

    /// The value of a node, all nodes below which are built.
    fn build(&mut self, index: u32, built: &mut Built) -> Result<Value, PickleError> {
        let node = &mut self.nodes[index as usize];
        let kind = node.kind;
        // A later pickle may name the node again, so its items go back afterwards.
        let items = std::mem::take(&mut node.items);
        let value = self.build_from(kind, &items, built);
        self.nodes[index as usize].items = items;
        value
    }

    fn build_from(
        &mut self,
        kind: NodeKind,
        items: &[Item],
        built: &mut Built,
    ) -> Result<Value, PickleError> {
        Ok(match kind {
            NodeKind::List => Value::List(self.build_all(items, built)),
            NodeKind::Tuple => Value::Tuple(self.build_all(items, built)),
            NodeKind::Dict => {
                let mut pairs = Vec::with_capacity(items.len() / 2);
                for pair in items.chunks_exact(2) {
                    pairs.push((self.build_item(pair[0], built), self.build_item(pair[1], built)));
                }
                Value::Dict(pairs)
            }
            NodeKind::Kwargs => match self.build_item(items[0], built) {
                Value::Dict(pairs) => Value::Kwargs(
                    pairs
                        .into_iter()
                        .map(|(key, value)| Ok((keyword(key)?, value)))
                        .collect::<Result<_, PickleError>>()?,
                ),
                _ => unreachable!("the reader makes Kwargs of dicts alone"),
            },
        })
    }

    fn build_all(&mut self, items: &[Item], built: &mut Built) -> Vec<Value> {
        let mut values = Vec::with_capacity(items.len());
        for &item in items {
            values.push(self.build_item(item, built));
        }
        values
    }

    fn build_item(&mut self, item: Item, built: &mut Built) -> Value {
        match item {
            Item::Node(index) => self.take(index, built),
            leaf => self.leaf(leaf),
        }
    }

    /// A built node: the value itself for the last that asks, a copy for the others.
    fn take(&mut self, index: u32, built: &mut Built) -> Value {
        let info = &mut self.info[index as usize];
        info.uses -= 1;
        let value = &mut built[info.place as usize];
        let value = if info.uses == 0 { value.take() } else { value.clone() };
        value.expect("children are built before their parents, and `uses` counts the parents")
    }

    /// The value of an item other than a node, which `weigh` has let pass.
    fn leaf(&self, item: Item) -> Value {
        match item {
            Item::None => Value::None,
            Item::Bool(b) => Value::Bool(b),
            Item::Int(n) => Value::Int(n),
            Item::Long(span) => BigInt::value_of_le_bytes(span.of(self.data)),
            Item::Float(x) => Value::Float(x),
            Item::Str(span) => Value::Str(self.bytes(span)),
            Item::Bytes(span) => Value::Bytes(self.bytes(span)),
            Item::Latin1(span) => Value::Bytes(self.latin1(span)),
            Item::Text(span, _) => Value::Text(self.text(span)),
            Item::EmptyTuple => Value::Tuple(Vec::new()),
            Item::EmptyList => Value::List(Vec::new()),
            Item::EmptyDict => Value::Dict(Vec::new()),
            Item::EmptyKwargs => Value::Kwargs(Vec::new()),
            Item::CallError(span, Script::Surrogates) => {
                Value::CallError(replace_surrogates(span.of(self.data)))
            }
            Item::CallError(span, _) => Value::CallError(self.text(span)),
            Item::Context(id) => Value::Context { id: ContextId(id), name: None },
            Item::NamedContext(id, span) => Value::Context { id: ContextId(id), name: Some(self.text(span)) },
            Item::Sender(context, handle) => {
                Value::Sender { context: ContextId(context), handle: Handle(handle) }
            }
            Item::Blob(span, false) => Value::Blob(self.bytes(span)),
            Item::Blob(span, true) => Value::Blob(self.latin1(span)),
            Item::Secret(span) => Value::Secret(Secret::new(self.text(span))),
            Item::Global(_) | Item::Node(_) => unreachable!("weigh() refuses classes, nodes are taken"),
        }
    }

    fn bytes(&self, span: Span) -> Bytes {
        let piece = span.of(self.data);
        match self.shared {
            Some(data) if piece.len() >= data.len() / 2 => data.slice_ref(piece),
            _ => Bytes::copy_from_slice(piece),
        }
    }

    /// The bytes that a text of characters up to U+00FF stands for.
    fn latin1(&self, span: Span) -> Bytes {
        let text = span.of(self.data);
        let mut bytes = vec![0; text.len()];
        let mut len = 0;
        // The upper two bits of the byte that comes next; `Script::Latin1` says that every lead byte has one.
        let mut upper = 0;
        // No branches: half of random bytes are lead bytes.
        for &b in text {
            let (lead, follows) = (b >= 0xc0, (b & 0xc0) == 0x80);
            bytes[len] = upper | (b & if follows { 0x3f } else { 0xff });
            len += usize::from(!lead);
            upper = if lead { b << 6 } else { 0 };
        }
        bytes.truncate(len);
        bytes.into()
    }

    /// Text that `Script::of` has checked once; checking again keeps the crate free of `unsafe`.
    fn text(&self, span: Span) -> String {
        String::from_utf8_lossy(span.of(self.data)).into_owned()
    }
}

/// A keyword's name: Python 2 may write `str`, and Python 3 reads that back as `bytes`.
fn keyword(key: Value) -> Result<String, PickleError> {
    match key {
        Value::Text(key) => Some(key),
        Value::Str(key) | Value::Bytes(key) => String::from_utf8(key.into()).ok(),
        _ => None,
    }
    .ok_or(PickleError::Constructor { name: "mitogen.core.Kwargs", problem: "a key is not text" })
}

/// Text with U+FFFD for each half of a surrogate pair.
fn replace_surrogates(text: &[u8]) -> String {
    let mut bytes = text.to_vec();
    let mut at = 0;
    while let Err(error) = std::str::from_utf8(&bytes[at..]) {
        at += error.valid_up_to();
        bytes[at..at + 3].copy_from_slice("\u{fffd}".as_bytes());
        at += 3;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
