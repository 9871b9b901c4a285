"""The commands of the library: ``vjepa NAME``, each a module of this package with a function ``main``."""
