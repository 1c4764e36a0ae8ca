"""How the conversation of a kubelet with a device plugin is played again: `deviceplugin` calls it."""
