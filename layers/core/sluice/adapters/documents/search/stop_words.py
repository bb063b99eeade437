"""Words without a subject of their own. Queries leave them out, so that AND applies only to the other words.

English: the usual list and question words. Japanese: hiragana around the content words, and kanji of requests. Chinese:
particles, pronouns and question words, where a run of characters is split.
"""


def _words(text: str) -> list[str]:
    return text.split()


ENGLISH = frozenset(
    _words("""
a about after again all also am an and another any anybody anyone anything are as at be because been before being
both but by can cannot could did do does doing done down each either else ever every everyone far few find for from
further get gets give given go goes got had has have having he help her here hers him his how however i if in
instead into is it its itself just know let like ll long many may me might mine more most much must my need no nor
not now of off often on once one only onto or other our ours out over own per please possible re s same say says
shall she should show so some somebody someone something soon such sure t take takes tell than that the their theirs
them then there these they thing things this those though through to too under until up upon us use used using ve
very want was way we were what whatever when where whether which while who whole whom whose why will with within
without would yes you your yours
""")
)

# Removed from a run of hiragana repeatedly, the longest first.
HIRAGANA = tuple(
    sorted(
        _words("""
ありますか ありません あります あれば あって ある あの あなた いますか いません います いつまで いつから いつ
いくつ いくら いう いった いて いない いる うち および おり おりますか おります かかりますか かかります
かけて から かどうか から ください くだされば くる けれど けど こちら この これ ここ こと ごと される されて
された されます されますか され させる させて しますか します しました しません して しなければ しない した
すべき すべて すれば する ずつ せん そう その それ そこ それぞれ たい たら だけ だれ だった だ たち ため
ちょうど ついて つき つ っ て で でき できます できますか できません できる できない です ですか でした
でしょうか でしょう でも では とき ところ として との とは と どう どうやって どうすれば どうしたら どうなる
どうなりますか どこ どの どれ どちら どなた どんな どのように どのくらい どれくらい どうして なぜ なに なん
ながら なければ なら ならない なります なりますか なる なった なって など なの な に について によって により
にて には にも の のか のです のでしょうか ので のに のは は ば へ べき ほど ほか まで まえ ました まし ます
ますか ません また または まだ も もし もっと もの もらう もらえる もらえます もらえますか もらえ や やすい やり
よう ように ような より よる よい よろしい られる られます られますか られ らい れる れます れますか れば わかる
わかります わけ を ん お ご か が く き し す せ た め り る れ ろ い う え
"""),
        key=len,
        reverse=True,
    )
)

KANJI_OF_ASKING = (
    "何時間|何時|何日間|何日|何分|何人|何回|何年|何月|何円|何個|何歳|何度|何番|何階|何曜日|何名|何冊|何杯|何か|何"
    "|誰|場合|方法|必要|可能|場所|理由"
)
LONE_KANJI = frozenset("教下頂致際時為事物者方無")
"""Polite and grammatical verbs and nouns, left out only where they stand alone (教えて, but not 教室)."""

CHINESE = (
    "什么时候|什么|怎么样|怎么|怎样|如何|哪里|哪儿|哪些|哪个|哪|为什么|多少|多久|多长时间|多长|多大|几|谁|是否|是不是|有没有|能不能"
    "|可不可以|可以|可否|能否|需要|应该|我们|你们|他们|她们|我|你|您|他|她|它|这个|那个|这些|那些|这|那|的|了|着|吗|呢|吧|啊|是|在|和|与|及"
    "|或|把|被|就|都|也|还|要|会|能|从|到|对|于|为|以|请问|请|之|其|所|個|個|吗|个|哪裡|什麼|怎麼|為什麼|多長|嗎|這|們"
)
