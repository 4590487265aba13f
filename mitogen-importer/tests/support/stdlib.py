# Writes the names of this interpreter's top-level modules.
import os, re, sys
names = set(sys.builtin_module_names)
names.update(getattr(sys, 'stdlib_module_names', ()))
root = os.path.dirname(os.__file__)
folders = [root, os.path.join(root, 'lib-dynload')]
folders.extend([os.path.join(root, name) for name in os.listdir(root) if name.startswith('plat-')])
for folder in folders:
    if os.path.isdir(folder):
        for name in os.listdir(folder):
            path = os.path.join(folder, name)
            if name.endswith(('.py', '.so')) or os.path.exists(os.path.join(path, '__init__.py')):
                names.add(name.split('.')[0])
print('\n'.join(sorted([name for name in names if re.match('[A-Za-z_][A-Za-z_0-9]*$', name) and not name.startswith('_sysconfigdata')])))
