"""Plain data shared by everything: no I/O, no clock, nothing imported from above."""
