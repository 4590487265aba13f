# What the new interpreter runs first, in `__main__`. The one-line script that the first stage wrote has left: `d`, everything read from descriptor 101; `z`, the
# decompressor after the end of its stream; `s`, the decompressed pieces (this file, then name, source, name, source ...); `P`, the process id of the first stage.
# The configuration is read first of all: when the stream was cut off, it ends here.
config = eval(z.unused_data)
blob = d[:len(d) - len(z.unused_data)]
module = type(sys)
sys.modules['mitogen'] = package = module('mitogen')
package.__path__ = []
sources = dict(zip(s[1::2], s[2::2]))
sys.modules['mitogen.importer'] = package.importer = m = module('mitogen.importer')
exec(compile(sources['mitogen.importer'], 'mitogen/importer.py', 'exec'), m.__dict__)
package.__loader__ = m.__loader__ = importer = m.Importer(sources, blob)
m.__file__ = 'mitogen/importer.py'
m.__package__ = package.__package__ = 'mitogen'
sys.meta_path.append(importer)
import mitogen.main
mitogen.main.main(config, P, importer)
