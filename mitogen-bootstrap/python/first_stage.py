# The boot command has imported `sys`, `os` and `select`. Its variable is not for those who come after.
from os import*
unsetenv("PYTHONSAFEPATH")
R,W=pipe()
r,w=pipe()
if fork():
 dup2(0,60)
 dup2(1,62)
 dup2(2,1)
 dup2(R,0)
 dup2(r,61)
 for f in R,W,r,w:close(f)
 environ["ARGV0"]=e=sys.executable
 execl(e,e+"(mitogen:NAME)")
close(R)
close(r)
write(W,('import sys;sys.path[0]or sys.path.pop(0);import os,zlib;f=os.fdopen(61,"rb");d=f.read();z=zlib.decompressobj();s=z.decompress(d).decode().split(chr(0));P=%d;exec(z.unused_data and s[0])'%getpid()).encode())
n=SIZE
while n:
 select.select([0],[],[])
 b=read(0,n)or os._exit(1)
 n-=len(b)
 while b:b=b[write(w,b):]
write(1,"EC1\n".encode())
os._exit(0)
