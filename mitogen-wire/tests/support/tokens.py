# What `tokenize` makes of the library: for each source its path, its bytes, and its tokens
# (kind, line, text), trivia left out.
import io, re, tokenize, token

KINDS = {'NAME': 'N', 'NUMBER': '0', 'STRING': 'S', 'OP': 'O', 'NEWLINE': 'E', 'INDENT': 'I', 'DEDENT': 'D',
         'FSTRING_START': 'F', 'FSTRING_MIDDLE': 'M', 'FSTRING_END': 'G'}

def lex(data):
    if data[-1:] not in (b'\n', b'\r'):
        data += b'\n'
    if sys.version_info < (3,):
        encoding = 'latin-1'
        tokens = tokenize.generate_tokens(io.BytesIO(data).readline)
        lines = data.split('\n')
    else:
        encoding = tokenize.detect_encoding(io.BytesIO(data).readline)[0]
        tokens = tokenize.tokenize(io.BytesIO(data).readline)
        text = data.decode(encoding)
        lines = text.split('\n')
        encoding = 'utf-8' if encoding == 'utf-8-sig' else encoding
    result = []
    nested = 0
    dots = 0
    for tok in tokens:
        name = token.tok_name.get(tok[0]) or tokenize.tok_name[tok[0]]
        if name == 'ERRORTOKEN':
            raise SyntaxError('error token')
        kind = KINDS.get(name)
        if kind is None:
            continue
        text, start, end = tok[1], tok[2], tok[3]
        if kind == 'F':
            nested += 1
            if nested == 1:
                opened = start
            continue
        if kind == 'G':
            nested -= 1
            if nested:
                continue
            kind, start = 'S', opened
            parts = lines[start[0] - 1:end[0]]
            parts[-1] = parts[-1][:end[1]]
            parts[0] = parts[0][start[1]:]
            text = '\n'.join(parts)
        if nested:
            continue
        line = start[0]
        if kind in 'EID':
            line, text = 0, ''
        if not isinstance(text, bytes):
            text = text.encode(encoding)
        if sys.version_info < (3,) and text == '.' and kind == 'O':
            # Three points are one token everywhere else.
            if dots == 2 and result[-2:] == [result[-1]] * 2:
                result[-2:] = [b'O' + str(line).encode() + b' ...']
                dots = 0
                continue
            dots += 1
        else:
            dots = 0
        result.append(kind.encode() + str(line).encode() + b' ' + text.replace(b'\r\n', b'\n'))
    return b'\0'.join(result)

for path, data in sources():
    if re.search(b'\r(?!\n)', data):
        continue
    try:
        # Sources of the other dialect lie about as test data.
        compile(data, path, 'exec')
        tokens = lex(data)
    except Exception:
        continue
    emit(path.encode())
    emit(data)
    emit(tokens)
