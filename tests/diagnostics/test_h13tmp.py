from datetime import timedelta
def test_x(plain_world, report, noon):
    w=plain_world
    d=w.device()
    w.report(d, report(0.2,"raised","2015","rnet.ics"))
    print(w.diagnose(noon+timedelta(minutes=1)))
    print(w.findings("about","need","known_at"), w.rows("select * from inbox"), w.rows("select * from agenda"), w.tickets())
    assert 0
