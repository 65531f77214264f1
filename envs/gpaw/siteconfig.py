"""How GPAW is compiled: serial, with Debian's libxc and OpenBLAS.

The variable GPAW_CONFIG names this file to GPAW's setup.py, which executes it.
"""

mpi = False
# The sources are C++ in files named .c; some Pythons would give them to the C compiler, which fails.
compiler = "g++"
libraries = ["xc", "openblas"]
