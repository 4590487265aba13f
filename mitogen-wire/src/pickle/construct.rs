//! REDUCE: the constructors that a pickle may call, and what each asks of its arguments.

use super::PickleError;
use super::item::{Global, Item, NodeKind, Script, Span};
use super::reader::Reader;

impl Reader<'_> {
    /// Calls one of the constructors on the list; see protocol.md section 4.3 for what each asks for.
    pub(super) fn reduce(&mut self) -> Result<(), PickleError> {
        let start = self.top(2)?;
        let Item::Global(global) = self.stack[start] else {
            return Err(self.malformed("a call of what is no constructor"));
        };
        let args: &[Item] = match self.stack[start + 1] {
            Item::EmptyTuple => &[],
            Item::Node(index) if self.nodes[index as usize].kind == NodeKind::Tuple => {
                &self.nodes[index as usize].items
            }
            _ => return Err(self.malformed("arguments that are no tuple")),
        };
        let bad = |problem| Err(PickleError::Constructor { name: global.name(), problem });
        let item = match (global, args) {
            (Global::CallError, &[Item::Text(span, script)]) => Item::CallError(span, script),
            (Global::CallError, _) => return bad("expected one text"),
            (Global::Context, &[Item::Int(id), name]) => match (u32::try_from(id), name) {
                (Ok(id), Item::None) => Item::Context(id),
                (Ok(id), Item::Text(span, script)) if script != Script::Surrogates => {
                    if !is_shorter_than_100_chars(span.of(self.data)) {
                        return bad("name has 100 characters or more");
                    }
                    Item::NamedContext(id, span)
                }
                (Ok(_), _) => return bad("name is neither text nor None"),
                (Err(_), _) => return bad("id is out of range"),
            },
            (Global::Context, _) => return bad("expected an id and a name"),
            (Global::Sender, &[Item::Int(context), Item::Int(handle)]) => {
                match (u32::try_from(context), u32::try_from(handle)) {
                    (Ok(context), Ok(handle)) if handle > 0 => Item::Sender(context, handle),
                    _ => return bad("context id or handle is out of range"),
                }
            }
            (Global::Sender, _) => return bad("expected a context id and a handle"),
            (Global::Blob, &[Item::Str(span) | Item::Bytes(span)]) => Item::Blob(span, false),
            (Global::Blob, &[Item::Latin1(span)]) => Item::Blob(span, true),
            (Global::Blob, _) => return bad("expected one byte string"),
            (Global::Secret, &[Item::Text(span, script)]) if script != Script::Surrogates => {
                Item::Secret(span)
            }
            (Global::Secret, _) => return bad("expected one text"),
            (Global::Encode, &[Item::Text(span, Script::Ascii), _]) => Item::Bytes(span),
            (Global::Encode, &[Item::Text(span, Script::Latin1), _]) => Item::Latin1(span),
            (Global::Encode, _) => return bad("expected a text of characters up to U+00FF, and `latin1`"),
            (Global::Bytes, &[]) => Item::Bytes(Span::EMPTY),
            (Global::Bytes, _) => return bad("expected no argument"),
            (Global::Kwargs, &[dict @ Item::Node(index)])
                if self.nodes[index as usize].kind == NodeKind::Dict =>
            {
                self.node(NodeKind::Kwargs, vec![dict])?
            }
            (Global::Kwargs, &[Item::EmptyDict]) => Item::EmptyKwargs,
            (Global::Kwargs, _) => return bad("expected one dict"),
        };
        self.stack.truncate(start);
        self.push(item)
    }
}

/// Of valid UTF-8. Never looks at more than 400 bytes.
fn is_shorter_than_100_chars(text: &[u8]) -> bool {
    text.len() < 400 && text.iter().filter(|&&b| b & 0xc0 != 0x80).count() < 100
}
