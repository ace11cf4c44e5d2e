def draw_card(*a):
    pass


def draw_doubtful(*a):
    pass
