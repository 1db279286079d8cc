"""Without an attack, the promises hold by a wide margin: what is measured elsewhere is the attack."""


def test_without_an_attack_the_promises_hold(under_attack):
    with under_attack() as scene:
        scene.lasts(2)
