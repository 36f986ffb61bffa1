"""What actors say to each other. Data only: frozen, slotted, without methods that do anything.

`terms` has the words; `session` and `call` are for the CallActor, `children` for its children. Each actor's union is its
whole protocol. Times are seconds of the loop's monotonic clock (`at_s`); audio is bytes in the form its name says. A turn is
the model's: its number (the generation) travels with audio, marks and clears, so that what belongs to an interrupted turn is
recognised anywhere.
"""
