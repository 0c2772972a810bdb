"""What agents may do with the bus: the tools' half that decides. The plugin only registers them and passes calls on."""
