"""Without an attack, the promises hold: failures in the other tests are due to the attack."""


def test_without_an_attack_the_promises_hold(under_attack):
    with under_attack() as scene:
        scene.wait_until(2)
