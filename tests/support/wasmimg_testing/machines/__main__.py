"""Make every root that is not there yet, so that no test has to wait for it."""

from wasmimg_testing.machines import root

root.all_made()
