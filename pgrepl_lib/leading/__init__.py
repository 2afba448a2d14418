"""What a workshop's leader sees of the room: made of the participants' journals and nothing else.

It stands above exercises and evidence; the class hands it the journals' folders.
"""
