# What the new interpreter runs first, in `__main__`. The one-line script that the first stage wrote has left: `f`, a file on descriptor 61; `d`, everything read from
# it; `z`, the decompressor after the end of its stream; `s`, the decompressed pieces (this text, then name, source, name, source ...); `P`, the process id of the first stage.
# The configuration is looked at first of all: when it was cut off, all ends here, without a word, for nobody may read it.
try:
    config = dict(zip('context_id parent_ids name log_level max_message_size key unidirectional version pickle_protocol'.split(), eval(z.unused_data)))
except:
    os._exit(1)
f.close()
s = [str(piece) for piece in s]
s = dict(zip(s[1::2], s[2::2]))
module = type(sys)
sys.modules['mitogen'] = package = module('mitogen')
package.__path__ = []
name = 'mitogen.importer'
sys.modules[name] = package.importer = m = module(name)
exec(s[name], m.__dict__)
package.__loader__ = m.__loader__ = importer = m.Importer(s, d[:-len(z.unused_data)])
sys.meta_path.append(importer)
from mitogen.main import main
main(config, P, importer)
